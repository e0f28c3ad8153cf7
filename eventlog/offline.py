"""Reading a log without writing it: no lock is taken, nothing in the directory is changed.

Works beside a live writer; a frame whose write is under way is not shown until it is whole.
"""

import errno
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
from eventlog.tree_audit import TreeAudit, tree_audit
from eventlog.walk import SegmentWalk, read_header, segment_names, walk_log

LOOKS = 20
"""Looks at a tail that a live writer may be changing; true damage is reported 20 ms later."""


class Verified(msgspec.Struct, frozen=True):
    """One segment that passed: its file, events `first` to `last`, and its bytes in use.

    `last` is below `first` where it holds no event yet. `root` is that of the tree up to `last`.
    """

    name: str
    first: int
    last: int
    size: int
    epoch: int
    ending: Ending
    log_id: str
    root: bytes


def log_id_of(directory: Path) -> str:
    """The log's id, as its oldest segment says. Raises FileNotFoundError where there is none."""
    storage = DiskStorage(directory)
    names = segment_names(storage)
    if not names:
        raise FileNotFoundError(errno.ENOENT, "no log", str(directory))
    file = storage.open(names[0])
    try:
        return str(read_header(file, names[0]).log_id)
    finally:
        file.close()


def read_log(directory: Path, after: int = 0, stream: str | None = None) -> Iterator[Record]:
    """Events after a position, in order.

    Raises CorruptLog, ForeignSegment or UnsupportedFormat behind the last sound event before it.
    """
    return read_storage(DiskStorage(directory), after, stream)


def verify_log(directory: Path, tree: TreeAudit | None = None) -> Iterator[Verified]:
    """Check every byte of every segment, yielding each that passed.

    Checks checksums, chain, footers, gapless positions and stream versions, canonical encoding,
    the roots in footers, the tiles that there are, the checkpoints of `tree`, and that nothing is
    missing that the tip says was acknowledged. Raises as `read_log` does, and EvidenceRefused.
    """
    return verify_storage(DiskStorage(directory), tree or tree_audit(directory))


def read_storage(storage: Storage, after: int = 0, stream: str | None = None) -> Iterator[Record]:
    """`read_log` over any storage."""
    for walk in walk_log(storage, after, LOOKS):
        walk.skip(after)
        for sound in walk:
            for event in record.decode(sound.body):
                if event.position > after and stream in (None, event.stream):
                    yield event


def verify_storage(
    storage: Storage, tree: TreeAudit | None = None, looks: int = LOOKS
) -> Iterator[Verified]:
    """`verify_log` over any storage; with one look, for a log that nobody writes."""
    audit, tree = Audit(read_tip(storage), tree=None), tree or TreeAudit()
    last: SegmentWalk | None = None
    for walk in walk_log(storage, looks=looks):
        if last is None:
            tree.begin(walk.header)
        for sound in walk:
            _check_canonical(walk, sound, audit.check(walk, sound))
            tree.add(sound.body)
        yield _verified(storage, walk, tree)
        last = walk
    audit.conclude(last)
    tree.conclude()


def _verified(storage: Storage, walk: SegmentWalk, tree: TreeAudit) -> Verified:
    ending, size = walk.finish().ending, walk.place.offset
    if ending is Ending.SEALED:
        size += segment.FOOTER_SIZE
        _check_footer(storage, walk, tree)
    return Verified(
        name=walk.header.name,
        first=walk.header.first,
        last=walk.place.position - 1,
        size=size,
        epoch=walk.header.epoch,
        ending=ending,
        log_id=str(walk.header.log_id),
        root=tree.root,
    )


def _check_footer(storage: Storage, walk: SegmentWalk, tree: TreeAudit) -> None:
    file = storage.open(walk.header.name)
    try:
        footer = segment.decode_footer(file.pread(segment.FOOTER_SIZE, walk.place.offset))
    finally:
        file.close()
    if footer is not None:
        tree.check_footer(walk.header.name, footer)


def _check_canonical(walk: SegmentWalk, sound: Frame, records: list[Record]) -> None:
    if not record.is_canonical(sound.body, records):
        raise CorruptLog(
            sound.header.first, sound.offset, walk.header.name, "an event is not in canonical form"
        )
