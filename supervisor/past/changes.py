"""What changed between two moments, VM by VM."""

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from eventlog import PositionArchived
from supervisor.journal import VM_PREFIX
from supervisor.past.moment import AtPosition, AtTime, Moment, events_until
from supervisor.past.states import Instant, world_at
from supervisor.replay import Replay
from supervisor.vm.state import VmState

Values = dict[str, Any]


class MomentsReversed(Exception):
    """The moments are not in the order of time."""


class Kind(Enum):
    """What became of a VM."""

    SUBMITTED = "submitted"
    CHANGED = "changed"
    DELETED = "deleted"
    CAME_AND_WENT = "came-and-went"
    UNREADABLE = "unreadable"


class Change(msgspec.Struct, frozen=True):
    """One VM; ``fields`` by dotted name, each with its value before and after."""

    vm_id: str
    kind: Kind
    before: VmState | None = None
    after: VmState | None = None
    fields: dict[str, tuple[Any, Any]] = {}


class Difference(msgspec.Struct, frozen=True):
    """The two moments, and what lies between them."""

    before: Instant
    after: Instant
    changes: tuple[Change, ...]


def difference(log: Path, earlier: Moment, later: Moment) -> Difference:
    """Compare the states at two moments.

    Raises MomentsReversed, PositionArchived, and what :func:`world_at` raises.
    """
    before = world_at(log, earlier)
    if _lies_before(later, before):
        raise MomentsReversed("the second moment lies before the first; exchange them")
    vms = dict(before.world.vms)
    folding = Replay(before.world, before.position)
    touched: set[str] = set()
    recorded_at = before.recorded_at
    for record in events_until(log, later, before.position):
        if record.position != folding.position + 1:  # who came and went there is not known
            raise PositionArchived(folding.position, record.position)
        folding.take(record)
        recorded_at = record.recorded_at
        if record.stream.startswith(VM_PREFIX):
            touched.add(record.stream.removeprefix(VM_PREFIX))
    after = Instant(folding.position, recorded_at, folding.conclude())
    return Difference(before, after, tuple(_changes(vms, after, touched)))


def _lies_before(moment: Moment, instant: Instant) -> bool:
    match moment:
        case AtPosition(position):
            return position < instant.position
        case AtTime(recorded_at):
            return recorded_at < instant.recorded_at


def _changes(before: Mapping[str, VmState], after: Instant, touched: set[str]) -> Iterator[Change]:
    for vm_id in sorted(touched):
        was, now = before.get(vm_id), after.world.vms.get(vm_id)
        if vm_id in after.world.unavailable:
            yield Change(vm_id, Kind.UNREADABLE, was)
        elif was is not None and now is not None:
            yield Change(vm_id, Kind.CHANGED, was, now, fields(was, now))
        elif now is not None:
            yield Change(vm_id, Kind.SUBMITTED, None, now)
        else:
            yield Change(vm_id, Kind.DELETED if was else Kind.CAME_AND_WENT, was)


def fields(before: VmState, after: VmState) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by dotted name; None where there is no such field."""
    old, new = (dict(_flat("", msgspec.to_builtins(state))) for state in (before, after))
    names = sorted(old.keys() | new.keys())
    return {
        name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    }


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), item)
    elif value not in (None, {}):
        yield name, value
