"""Taking old segments out of the log: the state they led to is put into the log first.

The whole log is verified and folded from its beginning, never from a snapshot, because what is
removed cannot be folded again.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from eventlog import (
    Dropped,
    LogOptions,
    NotArchivable,
    drop_segments,
    droppable,
    open_log,
    read_log,
    verify_log,
)
from eventlog.notary import rebuild_tiles
from eventlog.retention import prepare_archive
from eventlog.storage import DiskStorage
from supervisor.past.moment import AtPosition, AtTime, Moment, is_beyond
from supervisor.replay import ReplayError, World, replay


class NothingToArchive(Exception):
    """No sealed segment lies wholly before the moment."""


class Archived(msgspec.Struct, frozen=True):
    """What was done: the events that are gone from the log, and the state that stands for them."""

    first: int
    last: int
    segments: tuple[Dropped, ...]
    state_hash: str
    base: int
    to: str | None


class Keep(msgspec.Struct, frozen=True):
    """The newest events that must stay, by their number."""

    events: int


Retention = Moment | Keep
"""A position stays, with all after it; so does what was recorded after a time."""


def archive(
    log: Path, node_id: str, retention: Retention, to: Path | None, report: Callable[[int], None]
) -> Archived:
    """Move the sealed segments before a moment ``to`` a directory, or remove them for good.

    ``report`` is told of bytes verified. Raises NothingToArchive, ReplayError where the state is
    not wholly understood, LogLocked beside a daemon, and what `verify_log` and `drop_segments`
    raise. Nothing is removed then.
    """
    if to is not None and to.resolve().is_relative_to(log.resolve()):
        raise NotArchivable(f"{to} lies within the log {log}; name a directory outside of it")
    return trio.run(_archive, log, node_id, retention, to, report)


async def _archive(
    log: Path, node_id: str, retention: Retention, to: Path | None, report: Callable[[int], None]
) -> Archived:
    storage, target = DiskStorage(log), None if to is None else DiskStorage(to)
    async with open_log(log, LogOptions(node_id=node_id)) as writer:
        for verified in verify_log(log):
            report(verified.size)
        below = _first_kept(log, retention, writer.head)
        if not droppable(storage, below):
            raise NothingToArchive(
                "no sealed segment lies wholly before that; choose a later moment (each start of "
                "the daemon begins another segment)"
            )
        world = _understood(replay(read_log(log)))
        if target is not None:
            prepare_archive(target)
        base = writer.head + 1
        await writer.append_base(world.encoded(), below)
        check_base(log, base, world)
        rebuild_tiles(log, writer.head)  # they are all that is left to prove what was archived
        gone = drop_segments(storage, below, target)
    return Archived(
        first=gone[0].first,
        last=gone[-1].last,
        segments=tuple(gone),
        state_hash=world.digest(),
        base=base,
        to=None if to is None else str(to),
    )


def _first_kept(log: Path, retention: Retention, head: int) -> int:
    """The position of the first event that must stay."""
    match retention:
        case AtPosition(position):
            return position
        case Keep(events):
            return head + 1 - events
        case AtTime():
            last = 0
            for record in read_log(log):
                if is_beyond(record, retention):
                    break
                last = record.position
            return last + 1


def _understood(world: World) -> World:
    """Refuse a state with holes: the events that would fill them must stay."""
    for unreadable in (world.host, *world.unavailable.values()):
        if unreadable is not None:
            raise ReplayError(unreadable.why)
    return world


def check_base(log: Path, base: int, world: World) -> None:
    """Fold the log from the base on, as it will be, and compare. Raises ReplayError."""
    if replay(read_log(log, base - 1)).digest() != world.digest():
        raise ReplayError("the base that was written does not give the state; nothing was removed")
