"""Reading a log without writing it: no lock is taken, nothing in the directory is changed.

Works beside a live writer; a frame whose write is under way is not shown until it is whole.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from eventlog import record, segment
from eventlog.audit import Audit, read_tip
from eventlog.damage import Ending
from eventlog.errors import CorruptLog
from eventlog.frame import Frame
from eventlog.record import Record
from eventlog.storage import DiskStorage
from eventlog.walk import SegmentWalk, walk_log


class Verified(msgspec.Struct, frozen=True):
    """One segment that passed. `last` is below `first` where it holds no event yet."""

    path: Path
    first: int
    last: int
    size: int
    epoch: int
    ending: Ending


def read_log(directory: Path, after: int = 0, stream: str | None = None) -> Iterator[Record]:
    """Events after a position, in order.

    Raises CorruptLog, ForeignSegment or UnsupportedFormat after the last sound event before it.
    """
    for walk in walk_log(DiskStorage(directory), after):
        walk.skip(after)
        for sound in walk:
            for event in record.decode(sound.body):
                if event.position > after and stream in (None, event.stream):
                    yield event


def verify_log(directory: Path) -> Iterator[Verified]:
    """Check every byte of every segment, yielding each that passed.

    Checks checksums, chain, footers, gapless positions and stream versions, canonical encoding,
    and that nothing is missing that the tip says was acknowledged. Raises as `read_log` does.
    """
    storage = DiskStorage(directory)
    audit = Audit(read_tip(storage))
    last: SegmentWalk | None = None
    for walk in walk_log(storage):
        for sound in walk:
            _check_canonical(walk, sound, audit.check(walk, sound))
        tail = walk.finish()
        yield Verified(
            path=directory / walk.header.name,
            first=walk.header.first,
            last=walk.place.position - 1,
            size=walk.place.offset + (segment.FOOTER_SIZE if tail.ending is Ending.SEALED else 0),
            epoch=walk.header.epoch,
            ending=tail.ending,
        )
        last = walk
    audit.conclude(last)


def _check_canonical(walk: SegmentWalk, sound: Frame, records: list[Record]) -> None:
    if not record.is_canonical(sound.body, records):
        raise CorruptLog(
            sound.header.first, sound.offset, walk.header.name, "an event is not in canonical form"
        )
