"""Bringing a directory back to the state "everything acknowledged, nothing else".

Reads the whole log, cuts an unfinished write (keeping its bytes aside), and seals the last
segment. Every step may be interrupted and is then simply done again. Damage is never cut.
"""

import hashlib
import itertools
import uuid

import msgspec

from eventlog.audit import Audit, read_tip
from eventlog.bookmark import Bookmark, check_bookmark
from eventlog.damage import Ending, Tail
from eventlog.merkle import Frontier
from eventlog.record import LOG_STREAM, Record
from eventlog.segment import is_segment_name
from eventlog.storage import Storage
from eventlog.versions import StreamVersions
from eventlog.walk import SegmentWalk, oldest_position, segment_names, walk_log
from eventlog.writer import SegmentWriter

REPAIRED = "log.repaired.v1"
_TORN = ".torn-"


class Repair(msgspec.Struct, frozen=True):
    """Payload of `log.repaired.v1`: an unfinished write that was cut and is kept in a file."""

    segment: str
    kept_as: str
    length: int
    sha256: str


class Recovered(msgspec.Struct, frozen=True):
    """What a writer needs to go on. `log_id` is None for an empty directory."""

    log_id: uuid.UUID | None
    epoch: int
    head: int
    chain: bytes
    recorded_at: int
    versions: StreamVersions
    repairs: tuple[str, ...]
    unlogged: tuple[Repair, ...]
    first: int = 1
    tree: Frontier | None = None


def recover(storage: Storage, sealed_at: int, start: Bookmark | None = None) -> Recovered:
    """Recover under the lock, reading only what lies behind `start`.

    Raises CorruptLog, ForeignSegment, UnsupportedFormat or BookmarkUnfit, with nothing changed.
    """
    if start is not None:
        check_bookmark(storage, start)
    audit = Audit(read_tip(storage), start)
    logged = set(start.repairs if start else ())
    last: SegmentWalk | None = None
    tail = Tail(Ending.SEALED)
    for walk in walk_log(storage, start=start.start if start else None):
        for sound in walk:
            logged.update(kept_files(audit.check(walk, sound)))
        last, tail = walk, walk.finish()
    audit.conclude(last)
    if last is not None:
        _cut(storage, last, tail)
        _seal(storage, last, tail, sealed_at, audit.tree)
    return Recovered(
        log_id=last.header.log_id if last else None,
        epoch=last.header.epoch if last else 0,
        head=audit.head,
        chain=last.place.chain if last else b"",
        recorded_at=audit.recorded_at,
        versions=audit.versions,
        repairs=tuple(sorted(logged)),
        unlogged=tuple(_describe(storage, name) for name in _torn_names(storage) - logged),
        first=oldest_position(storage),
        tree=audit.tree,
    )


def kept_files(records: list[Record]) -> list[str]:
    """The kept files that these events name."""
    return [
        msgspec.msgpack.decode(event.payload, type=Repair).kept_as
        for event in records
        if event.stream == LOG_STREAM and event.type == REPAIRED
    ]


def _cut(storage: Storage, last: SegmentWalk, tail: Tail) -> None:
    if tail.ending is not Ending.TORN:
        return
    file = storage.modify(last.header.name)
    try:
        _keep(storage, last.header.name, file.pread(tail.torn, last.place.offset))
        # Zeros, not a truncation: a torn write stays recognisable until all of it is gone.
        file.pwrite(bytes(tail.torn), last.place.offset)
        file.fdatasync()
    finally:
        file.close()


def _keep(storage: Storage, name: str, torn: bytes) -> None:
    taken = set(storage.names())
    kept_as = next(kept for n in itertools.count(1) if (kept := f"{name}{_TORN}{n}") not in taken)
    file = storage.create(kept_as)
    try:
        file.pwrite(torn, 0)
        file.fsync()
    except BaseException:
        storage.unlink(kept_as)
        raise
    finally:
        file.close()
    storage.fsync_dir()


def _seal(
    storage: Storage, last: SegmentWalk, tail: Tail, sealed_at: int, tree: Frontier | None
) -> None:
    if last.place.position == last.header.first:
        return  # Without events it is replaced by the next epoch's segment, of the same name.
    if tail.ending is Ending.SEALED and tail.unused == 0:
        _sync_seal(storage, last.header.name)
        return
    file = storage.modify(last.header.name)
    try:
        writer = SegmentWriter(file, last.header, last.place, last.frames)
        if tail.ending is Ending.SEALED:
            file.fdatasync()  # the footer may be in the page cache only, and the cut be faster
            writer.finish_seal()
        else:
            writer.seal(sealed_at, tree)
    finally:
        file.close()


def _sync_seal(storage: Storage, name: str) -> None:
    # Writers killed within a seal, and within its recovery, may have left it to the page cache.
    file = storage.open(name)
    try:
        file.make_read_only()
        file.fsync()
    finally:
        file.close()


def _torn_names(storage: Storage) -> set[str]:
    return {name for name in storage.names() if is_segment_name(name.partition(_TORN)[0])} - set(
        segment_names(storage)
    )


def _describe(storage: Storage, name: str) -> Repair:
    file = storage.open(name)
    try:
        torn = file.pread(file.size(), 0)
    finally:
        file.close()
    return Repair(
        segment=name.partition(_TORN)[0],
        kept_as=name,
        length=len(torn),
        sha256=hashlib.sha256(torn).hexdigest(),
    )
