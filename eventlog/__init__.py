"""An embedded, append-only, tamper-evident event log for one writer and many readers.

It knows bytes and positions, and nothing of what the events mean. The bytes on disk are described
in `docs/log-format.md`.
"""

from eventlog.damage import Ending
from eventlog.errors import (
    AppendRefused,
    BatchTooLarge,
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
    PositionInFuture,
    UnsupportedFormat,
    WrongExpectedVersion,
)
from eventlog.journal import Spare
from eventlog.log import EventLog, LogOptions, open_log
from eventlog.offline import Verified, read_log, verify_log
from eventlog.readers import Reader, Subscription
from eventlog.record import CaughtUp, NewEvent, Record

__all__ = [
    "AppendRefused",
    "BatchTooLarge",
    "CaughtUp",
    "CorruptLog",
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
    "PositionInFuture",
    "Reader",
    "Record",
    "Spare",
    "Subscription",
    "UnsupportedFormat",
    "Verified",
    "WrongExpectedVersion",
    "open_log",
    "read_log",
    "verify_log",
]
