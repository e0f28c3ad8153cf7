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
from eventlog.storage import DiskStorage, Storage
from eventlog.walk import SegmentWalk, walk_log

LOOKS = 20
"""Looks at a tail that a live writer may be changing; true damage is reported 20 ms later."""


class Verified(msgspec.Struct, frozen=True):
    """One segment that passed: its file, events `first` to `last`, and its bytes in use.

    `last` is below `first` where it holds no event yet.
    """

    name: str
    first: int
    last: int
    size: int
    epoch: int
    ending: Ending


def read_log(directory: Path, after: int = 0, stream: str | None = None) -> Iterator[Record]:
    """Events after a position, in order.

    Raises CorruptLog, ForeignSegment or UnsupportedFormat behind the last sound event before it.
    """
    return read_storage(DiskStorage(directory), after, stream)


def verify_log(directory: Path) -> Iterator[Verified]:
    """Check every byte of every segment, yielding each that passed.

    Checks checksums, chain, footers, gapless positions and stream versions, canonical encoding,
    and that nothing is missing that the tip says was acknowledged. Raises as `read_log` does.
    """
    return verify_storage(DiskStorage(directory))


def read_storage(storage: Storage, after: int = 0, stream: str | None = None) -> Iterator[Record]:
    """`read_log` over any storage."""
    for walk in walk_log(storage, after, LOOKS):
        walk.skip(after)
        for sound in walk:
            for event in record.decode(sound.body):
                if event.position > after and stream in (None, event.stream):
                    yield event


def verify_storage(storage: Storage) -> Iterator[Verified]:
    """`verify_log` over any storage."""
    audit = Audit(read_tip(storage))
    last: SegmentWalk | None = None
    for walk in walk_log(storage, looks=LOOKS):
        for sound in walk:
            _check_canonical(walk, sound, audit.check(walk, sound))
        yield _verified(walk)
        last = walk
    audit.conclude(last)


def _verified(walk: SegmentWalk) -> Verified:
    ending = walk.finish().ending
    footer = segment.FOOTER_SIZE if ending is Ending.SEALED else 0
    return Verified(
        name=walk.header.name,
        first=walk.header.first,
        last=walk.place.position - 1,
        size=walk.place.offset + footer,
        epoch=walk.header.epoch,
        ending=ending,
    )


def _check_canonical(walk: SegmentWalk, sound: Frame, records: list[Record]) -> None:
    if not record.is_canonical(sound.body, records):
        raise CorruptLog(
            sound.header.first, sound.offset, walk.header.name, "an event is not in canonical form"
        )
