"""Taking sealed segments out of a log that has a base, oldest first, with a verified copy or for
good.

An interruption at any point leaves a log that begins with a later segment, and segments that were
copied but not removed yet; doing it again goes on.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from eventlog import segment
from eventlog.damage import Ending
from eventlog.errors import EventLogError
from eventlog.storage import LOCK_NAME, File, Storage
from eventlog.walk import SegmentWalk, find_base, read_header, segment_names

_PIECE = 1024 * 1024
"""Bytes copied at once; bounds the memory."""

PARTIAL = ".part"
"""Ends the name of a copy that is not whole yet."""


class Dropped(msgspec.Struct, frozen=True):
    """A segment that was taken out: its file, and the positions of its events."""

    name: str
    first: int
    last: int


class NotArchivable(EventLogError):
    """No base lets the log begin so late, or a copy is not what it must be. Nothing was removed."""


def droppable(storage: Storage, below: int) -> list[Dropped]:
    """The sealed segments whose events all lie below a position, oldest first."""
    return list(_sealed_below(storage, below))


def drop_segments(storage: Storage, below: int, to: Storage | None = None) -> list[Dropped]:
    """Remove what `droppable` names, after copying it `to` another directory where one is given.

    The caller holds the writer's lock. Raises NotArchivable, or OSError from either directory.
    """
    found = droppable(storage, below)
    if not found:
        return []
    if find_base(storage, found[-1].last + 1) is None:
        raise NotArchivable(
            f"no base lets the log begin at {found[-1].last + 1}; append one, then archive again"
        )
    if to is not None:
        prepare_archive(to)
        for each in found:
            _copy(storage, to, each.name)
        to.fsync_dir()
    for each in found:
        storage.unlink(each.name)
        storage.fsync_dir()  # one by one: after a crash the rest still follow each other
    return found


def prepare_archive(to: Storage) -> None:
    """Make an archive's directory. Raises NotArchivable where it is that of a log, maybe this one.

    A copy into the log itself would be its own original, and be removed as such.
    """
    to.prepare()
    if {LOCK_NAME, segment.TIP_NAME} & set(to.names()):
        raise NotArchivable("the archive's directory is that of a log; name another one")


def _sealed_below(storage: Storage, below: int) -> Iterator[Dropped]:
    for name in segment_names(storage):
        file = storage.open(name)
        try:
            footer = segment.decode_footer(
                file.pread(segment.FOOTER_SIZE, max(0, file.size() - segment.FOOTER_SIZE))
            )
        finally:
            file.close()
        if footer is None or footer.last >= below:
            return
        yield Dropped(name, footer.first, footer.last)


def _copy(storage: Storage, to: Storage, name: str) -> None:
    source = storage.open(name)
    try:
        if name not in to.names():
            _write_copy(source, to, name)
        copy = to.open(name)
        try:
            _check_copy(source, copy, name)
        finally:
            copy.close()
    finally:
        source.close()


def _write_copy(source: File, to: Storage, name: str) -> None:
    partial = name + PARTIAL
    if partial in to.names():
        to.unlink(partial)
    copy = to.create(partial)
    try:
        for offset in range(0, source.size(), _PIECE):
            copy.pwrite(source.pread(_PIECE, offset), offset)
        copy.make_read_only()
        copy.fsync()
    finally:
        copy.close()
    to.rename(partial, name)


def _check_copy(source: File, copy: File, name: str) -> None:
    if _digest(source) != _digest(copy):
        raise NotArchivable(f"the copy of {name} differs from it; remove the copy, archive again")
    if SegmentWalk(copy, read_header(copy, name)).finish().ending is not Ending.SEALED:
        raise NotArchivable(f"{name} is not sealed; open the log once, then archive again")


def _digest(file: File) -> bytes:
    digest = hashlib.sha256()
    for offset in range(0, file.size(), _PIECE):
        digest.update(file.pread(_PIECE, offset))
    return digest.digest()
