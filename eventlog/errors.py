"""Every error of the log. Each message is one sentence: what is wrong and what to do.

EventLogError
├── LogNotWritable          the directory cannot be written (owner, rights, space)
├── LogLocked               another process writes this log
├── LogFenced               this process lost its claim to be the writer
├── UnsupportedFormat       a newer version of this library wrote it
├── CorruptLog              damage: acknowledged bytes are missing or changed
├── ForeignSegment          sound files that do not belong together: two logs mixed, one missing
├── PositionInFuture        a cursor beyond the end
├── AppendRefused           nothing was written; the log goes on
│   ├── InvalidEvent
│   ├── EventTooLarge
│   ├── BatchTooLarge
│   └── WrongExpectedVersion
└── LogEnded                this EventLog takes no more
    ├── LogClosed
    └── LogPoisoned         a write or fsync failed
"""

from pathlib import Path


class EventLogError(Exception):
    """Root of the tree."""


class LogNotWritable(EventLogError):
    """The directory cannot be used for writing; nothing in it was changed."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(
            f"cannot write the log in {directory}: {reason}; correct that and open it again"
        )
        self.directory = directory


class LogLocked(EventLogError):
    """Another writer is alive."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"the log in {directory} is being written by {holder}; stop it or use another directory"
        )
        self.directory = directory
        self.pid = pid


class LogFenced(EventLogError):
    """The lock file was removed or replaced, so another writer may exist."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"the lock file in {directory} was removed while this writer held it; "
            "make sure that only one writer runs, then open the log again"
        )
        self.directory = directory


class UnsupportedFormat(EventLogError):
    """The file is sound, but its format is not known to this version."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(
            f"{path} has {found}, which this version cannot read; use the version that wrote it"
        )
        self.path = path


class CorruptLog(EventLogError):
    """Bytes are damaged or missing. `position` is the first event that cannot be trusted."""

    def __init__(self, position: int, offset: int, path: str, why: str) -> None:
        super().__init__(
            f"{path} is damaged at byte {offset}, event {position}: {why}; "
            "keep the directory as it is and restore this file from a copy"
        )
        self.position = position
        self.offset = offset
        self.path = path
        self.why = why


class ForeignSegment(EventLogError):
    """A sound file that does not continue its predecessor."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} does not belong here: {why}; restore the files of one log")
        self.path = path
        self.why = why


class PositionInFuture(EventLogError):
    """A reader asked for what does not exist yet: its cursor belongs to another history."""

    def __init__(self, after: int, head: int) -> None:
        super().__init__(
            f"position {after} is beyond the end of the log at {head}; "
            "check that the cursor belongs to this log"
        )
        self.after = after
        self.head = head


class AppendRefused(EventLogError):
    """Nothing of the batch was written."""


class InvalidEvent(AppendRefused):
    """An event that could not be read again if it were written."""

    def __init__(self, event_type: str, why: str) -> None:
        super().__init__(f"event {event_type!r} cannot be written: {why}; correct the event")
        self.event_type = event_type


class EventTooLarge(AppendRefused):
    """One event's bytes on disk would reach the limit."""

    def __init__(self, event_type: str, size: int, limit: int) -> None:
        super().__init__(
            f"event {event_type!r} takes {size} bytes and must stay below {limit}; "
            "keep large data in a file and its digest in the event"
        )
        self.event_type = event_type
        self.size = size
        self.limit = limit


class BatchTooLarge(AppendRefused):
    """The events of one append do not fit into one atomic frame."""

    def __init__(self, size: int, limit: int, unit: str) -> None:
        super().__init__(
            f"one append of {size} {unit} exceeds the {limit} that fit into one frame; "
            "split it where atomicity is not needed"
        )
        self.size = size
        self.limit = limit


class WrongExpectedVersion(AppendRefused):
    """Another append changed the stream first."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(
            f"stream {stream!r} is at version {actual}, not {expected}; "
            "read what was appended and decide again"
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual


class LogEnded(EventLogError):
    """This EventLog takes and delivers nothing more."""


class LogClosed(LogEnded):
    """The block of `open_log` was left."""

    def __init__(self) -> None:
        super().__init__("the log is closed; open it again")


class LogPoisoned(LogEnded):
    """A write failed, so nothing after it may be trusted; the cause is chained.

    Events that were waiting may or may not be in the log: opening it again tells.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(
            f"the log stopped after a failed write ({cause}); "
            "restart: opening the log again recovers every acknowledged event"
        )
        self.__cause__ = cause
