"""Every error of the log. Each message is one sentence: what is wrong and what to do.

EventLogError
├── LogNotWritable          the directory cannot be written (owner, rights, space)
├── LogLocked               another process writes this log
├── LogFenced               this process lost its claim to be the writer
├── UnsupportedFormat       a newer version of this library wrote it
├── CorruptLog              damage: acknowledged bytes are missing or changed
├── ForeignSegment          sound files that do not belong together: two logs mixed, one missing
├── PositionInFuture        a cursor beyond the end
├── PositionArchived        a cursor before what archiving left
├── BookmarkUnfit           a bookmark that the log's bytes do not bear out
├── BaseTooLate             a base can only begin a life of the writer
├── EvidenceRefused         a key, note, checkpoint, tile or proof does not hold
│   ├── MalformedKey
│   ├── MalformedNote
│   ├── UntrustedNote       without a sound signature of the key that was asked for
│   │   └── UnknownSigner   others have signed it, that key has not
│   ├── ForeignCheckpoint   it is of another log
│   ├── CheckpointAhead     it covers events that are not here
│   ├── HistoryChanged      the events are not those that were signed
│   ├── TreeDamaged         what was derived from the log does not match it
│   └── ProofRefused
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
    """The lock file was removed, renamed or replaced, so another writer may exist."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"the lock file in {directory} was removed or renamed while this writer held it; "
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
    """A sound file that does not continue its predecessor, or something that is not a file."""

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


class PositionArchived(EventLogError):
    """A reader asked for events that were archived: it would miss some without knowing."""

    def __init__(self, after: int, first: int) -> None:
        super().__init__(
            f"events {after + 1} to {first - 1} were archived; begin at position {first}, "
            "or put the archived segments back beside the others"
        )
        self.after = after
        self.first = first


class BookmarkUnfit(EventLogError):
    """A bookmark does not belong to this log as it is; nothing was changed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the bookmark does not fit this log: {why}; begin without it")
        self.why = why


class BaseTooLate(EventLogError):
    """Something was appended in this life already, so a base would not be found."""

    def __init__(self) -> None:
        super().__init__("a base must be the first thing that a writer appends; open the log again")


class EvidenceRefused(EventLogError):
    """Nothing that is said here may be believed."""


class MalformedKey(EvidenceRefused):
    """Text that is no key. It may be a damaged private key, so it is never shown."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this is no key of a log: {why}; copy it again, all of it")


class MalformedNote(EvidenceRefused):
    """Bytes that are no signed note, or no checkpoint."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this is no signed checkpoint: {why}; take the whole file, unchanged")


class UntrustedNote(EvidenceRefused):
    """A note without a sound signature of the key that was asked for."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the checkpoint is not trusted: {why}; check note and key")


class UnknownSigner(UntrustedNote):
    """A note that only other keys have signed."""


class ForeignCheckpoint(EvidenceRefused):
    """A checkpoint of another log."""

    def __init__(self, origin: str, expected: str) -> None:
        super().__init__(
            f"the checkpoint is of {origin!r}, not of {expected!r}; take the right one"
        )
        self.origin = origin
        self.expected = expected


class CheckpointAhead(EvidenceRefused):
    """A checkpoint covers events that the log does not have: they were cut off, or never here."""

    def __init__(self, size: int, head: int) -> None:
        super().__init__(
            f"the checkpoint covers {size} events and the log has {head}: "
            f"events {head + 1} to {size} are missing; restore the log from a copy"
        )
        self.size = size
        self.head = head


class HistoryChanged(EvidenceRefused):
    """The log's first `size` events are not those that a checkpoint was signed over."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"the first {size} events are not those that the checkpoint was made over: "
            "the log was rewritten; keep both as evidence"
        )
        self.size = size


class TreeDamaged(EvidenceRefused):
    """A file of the hash tree does not match the log that it was derived from."""

    remedy = "remove this file: it is made anew when it is needed"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} does not match the log: {why}; {self.remedy}")
        self.path = path
        self.why = why


class ProofRefused(EvidenceRefused):
    """A proof that proves nothing."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the proof does not hold: {why}; do not believe it")


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
