"""The mutants by name, and which layer must catch which."""

import enum
from collections.abc import Callable

import msgspec

from chronovisor_crash import broken_readers, broken_writers
from chronovisor_crash.workload import Appender, batch, silently
from eventlog import NewEvent
from eventlog.storage import Storage


class Appending(enum.Enum):
    """How a writer keeps its word about a batch."""

    SOUND = "acknowledged when durable"
    WORD_FIRST = "acknowledged before it is written"
    PIECE_BY_PIECE = "each event in a frame of its own"


def _as_it_is(storage: Storage) -> Storage:
    return storage


def _nothing(storage: Storage) -> None:
    pass


class Mutant(msgspec.Struct, frozen=True):
    """A writer's storage, its word, and what a reader's missing check makes of the files."""

    name: str
    writing: Callable[[Storage], Storage] = _as_it_is
    reading: Callable[[Storage], None] = _nothing
    appending: Appending = Appending.SOUND

    def append(self, appender: Appender, number: int, acknowledge: Callable[[], None]) -> None:
        """Append one batch and say so, in whatever order."""
        *before, last = self.pieces(batch(number))
        if self.appending is Appending.WORD_FIRST:
            acknowledge()
        for events in before:
            appender.append(events, silently)
        appender.append(last, silently if self.appending is Appending.WORD_FIRST else acknowledge)

    def pieces(self, events: list[NewEvent]) -> list[list[NewEvent]]:
        """What goes into one frame each."""
        is_whole = self.appending is not Appending.PIECE_BY_PIECE
        return [events] if is_whole else [[event] for event in events]


NONE = Mutant("none")

NO_DATA_SYNC = Mutant("no fdatasync", broken_writers.NoDataSync)
NO_DIRECTORY_SYNC = Mutant("no fsync of the directory", broken_writers.NoDirectorySync)
RENAME_BEFORE_HEADER = Mutant("rename before header", broken_writers.RenameBeforeHeader)
TIP_BEFORE_FRAME = Mutant("tip before the frame is durable", broken_writers.TipBeforeFrame)
SEAL_WITHOUT_SYNC = Mutant("seal without sync", broken_writers.SealWithoutSync)
ERRORS_IGNORED = Mutant("errors ignored", broken_writers.ErrorsIgnored)
SYNC_RETRIED = Mutant("failed sync retried", broken_writers.SyncRetried)
EARLY_WORD = Mutant("acknowledged before written", appending=Appending.WORD_FIRST)
PIECE_BY_PIECE = Mutant("a batch in several frames", appending=Appending.PIECE_BY_PIECE)
NO_CHAIN_CHECK = Mutant("no checksum or chain check", reading=broken_readers.check_nothing)
CUT_ANYTHING = Mutant("any bad tail cut as torn", reading=broken_readers.cut_anything)
NO_TIP_CHECK = Mutant("no tip check", reading=broken_readers.forget_the_tip)
