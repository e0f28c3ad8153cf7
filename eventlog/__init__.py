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
from eventlog.journal import Spare
from eventlog.log import EventLog, LogOptions, open_log
from eventlog.offline import Verified, read_log, verify_log
from eventlog.readers import Reader, Subscription
from eventlog.record import CaughtUp, NewEvent, Record
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
    "LogClosed",
    "LogEnded",
    "LogFenced",
    "LogLocked",
    "LogNotWritable",
    "LogOptions",
    "LogPoisoned",
    "NewEvent",
    "NotArchivable",
    "PositionArchived",
    "PositionInFuture",
    "Reader",
    "Record",
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
    "read_log",
    "verify_log",
]
