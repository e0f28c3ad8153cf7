"""The folded state at a moment."""

from pathlib import Path

import msgspec

from eventlog import Record, read_log
from supervisor.journal import vm_stream
from supervisor.past.moment import Moment, events_until
from supervisor.replay import Replay, ReplayError, Unreadable, World
from supervisor.schema import TAGS
from supervisor.snapshot import SnapshotUnfit, load_snapshot
from supervisor.vm.events import VmDeleted
from supervisor.vm.state import VmState


class VmNotThere(Exception):
    """There was no such VM at that moment; the message says what is known of it."""


class VmUnreadable(Exception):
    """This version cannot fold the VM's events."""

    def __init__(self, unreadable: Unreadable) -> None:
        super().__init__(unreadable.why)


class Instant(msgspec.Struct, frozen=True):
    """The state after the event at ``position``; ``recorded_at`` in nanoseconds, 0 before it."""

    position: int
    recorded_at: int
    world: World


def world_at(log: Path, moment: Moment) -> Instant:
    """Fold the log up to a moment. Raises ReplayError, PositionInFuture, or damage."""
    folding = Replay()
    recorded_at = 0
    for record in events_until(log, moment):
        folding.take(record)
        recorded_at = record.recorded_at
    return Instant(folding.position, recorded_at, folding.conclude())


def world_from_snapshot(log: Path, snapshot: Path) -> Instant:
    """Fold what follows a snapshot. Raises ReplayError where it cannot be used."""
    try:
        bookmark, world = load_snapshot(snapshot, log)
    except (SnapshotUnfit, FileNotFoundError) as error:
        raise ReplayError(f"the snapshot {snapshot} cannot be used: {error}") from error
    folding = Replay(world, bookmark.position)
    recorded_at = bookmark.recorded_at
    for record in read_log(log, bookmark.position):
        folding.take(record)
        recorded_at = record.recorded_at
    return Instant(folding.position, recorded_at, folding.conclude())


def vm_at(log: Path, vm_id: str, moment: Moment) -> VmState:
    """Fold one VM up to a moment.

    Raises VmNotThere or VmUnreadable, and what :func:`world_at` raises.
    """
    stream = vm_stream(vm_id)
    folding = Replay(only=stream)
    last: Record | None = None
    for record in events_until(log, moment):
        folding.take(record)
        last = record if record.stream == stream else last
    world = folding.conclude()
    if unreadable := world.unavailable.get(vm_id):
        raise VmUnreadable(unreadable)
    if state := world.vms.get(vm_id):
        return state
    if last is not None and last.type == TAGS[VmDeleted]:
        raise VmNotThere(
            f"VM {vm_id!r} was deleted at position {last.position}; choose an earlier moment"
        )
    raise VmNotThere(f"there was no VM {vm_id!r:.80} at that moment")
