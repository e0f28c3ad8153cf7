"""An embedded, append-only, tamper-evident event log for one writer and many readers.

It knows bytes and positions, and nothing of what the events mean. The bytes on disk are described
in `docs/log-format.md`.
"""

from eventlog.bookmark import Bookmark, check_bookmark
from eventlog.damage import Ending
from eventlog.errors import (
    AppendRefused,
    BaseTooLate,
    BatchTooLarge,
    BookmarkUnfit,
    CorruptLog,
    EventLogError,
    EventTooLarge,
    ForeignSegment,
    InvalidEvent,
    LogClosed,
    LogEnded,
    LogFenced,
    LogLocked,
    LogNotWritable,
    LogPoisoned,
    PositionArchived,
    PositionInFuture,
    UnsupportedFormat,
    WrongExpectedVersion,
)
from eventlog.journal import Journal, Part, Spare
from eventlog.log import EventLog, LogOptions
from eventlog.offline import Verified, read_log, verify_log
from eventlog.opening import open_log, open_over
from eventlog.readers import Reader, Subscription
from eventlog.record import CaughtUp, NewEvent, Record
from eventlog.recovery import Recovered
from eventlog.retention import Dropped, NotArchivable, drop_segments, droppable
from eventlog.scan import Scan

__all__ = [
    "AppendRefused",
    "BaseTooLate",
    "BatchTooLarge",
    "Bookmark",
    "BookmarkUnfit",
    "CaughtUp",
    "CorruptLog",
    "Dropped",
    "Ending",
    "EventLog",
    "EventLogError",
    "EventTooLarge",
    "ForeignSegment",
    "InvalidEvent",
    "Journal",
    "LogClosed",
    "LogEnded",
    "LogFenced",
    "LogLocked",
    "LogNotWritable",
    "LogOptions",
    "LogPoisoned",
    "NewEvent",
    "NotArchivable",
    "Part",
    "PositionArchived",
    "PositionInFuture",
    "Reader",
    "Record",
    "Recovered",
    "Scan",
    "Spare",
    "Subscription",
    "UnsupportedFormat",
    "Verified",
    "WrongExpectedVersion",
    "check_bookmark",
    "drop_segments",
    "droppable",
    "open_log",
    "open_over",
    "read_log",
    "verify_log",
]
