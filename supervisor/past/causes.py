"""Why an event happened: back from cause to cause, to the command or start that it began with."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from eventlog import PositionArchived, Record, read_log
from supervisor.schema import TAGS
from supervisor.telemetry.spans import BEGINNINGS
from supervisor.telemetry.trace_context import trace_context
from supervisor.vm import events as vm


class NoSuchEvent(Exception):
    """The log has no event at this position."""


class Link(msgspec.Struct, frozen=True):
    """One event, and those that were decided together with it and stand before it."""

    event: Record
    together: tuple[Record, ...] = ()


class Chain(msgspec.Struct, frozen=True):
    """The events that led to the last one, the first cause first.

    ``whole`` is false where a cause is not in the log any more. ``order`` leads to the order that
    the last event carries out, if it does: what QEMU then says has a cause of its own. ``trace_id``
    names the trace that the event is told of in, if it is of a VM.
    """

    links: tuple[Link, ...]
    whole: bool
    order: "Chain | None" = None
    trace_id: str = ""


ORDERS: dict[str, str] = {
    TAGS[carried_out]: TAGS[order]
    for order, all_carried_out in {
        vm.PauseOrdered: (vm.GuestPaused,),
        vm.ResumeOrdered: (vm.GuestResumed,),
        vm.ResetOrdered: (vm.GuestReset,),
        vm.StopOrdered: (
            vm.StopEscalated,
            vm.GuestShutDown,
            vm.ProcessExited,
            vm.ResultRecorded,
            vm.ResultRefused,
            vm.LaunchEnded,
            vm.VmStopped,
        ),
        vm.DeleteOrdered: (vm.VmDeleted,),
    }.items()
    for carried_out in all_carried_out
}
"""Which order an event carries out, by their types; the order is the last before it."""


def chain(log: Path, position: int) -> Chain:
    """Return what led to the event at a position.

    Raises NoSuchEvent, PositionArchived, or damage.
    """
    target = next(iter(read_log(log, position - 1)), None) if position > 0 else None
    if target is not None and target.position > position:
        raise PositionArchived(position - 1, target.position)
    if target is None:
        raise NoSuchEvent(f"there is no event at position {position}")
    known, order, trace_id = _known(log, target)
    found = [target]
    while (cause := known.get(found[0].causation_id)) is not None:
        if cause.position >= found[0].position:
            break  # Whoever wrote this is not us; it must not keep us for ever.
        found.insert(0, cause)
    # The first cause is a request, which is no event, or nothing at all.
    whole = found[0].causation_id in ("", found[0].correlation_id)
    at = {record.position: record for record in known.values()}
    links = tuple(Link(event, _together(event, at)) for event in found)
    told = order is None or any(_has(link, order) for link in links)
    return Chain(links, whole, None if told or order is None else chain(log, order), trace_id)


def _known(log: Path, target: Record) -> tuple[dict[str, Record], int | None, str]:
    """The events before the target that share its origin, its order's place, and its trace."""
    known: dict[str, Record] = {}
    order: int | None = None
    trace_id = ""
    for record in read_log(log):
        if record.stream == target.stream and record.type in BEGINNINGS:
            trace_id = trace_context(record).trace_id
        if record.position >= target.position:
            break
        if target.correlation_id in (record.correlation_id, record.event_id):
            known.setdefault(record.event_id, record)
        if record.stream == target.stream and record.type == ORDERS.get(target.type):
            order = record.position
    return known, order, trace_id


def _together(event: Record, at: Mapping[int, Record]) -> tuple[Record, ...]:
    """The events of the same append that stand before one: one decision, one cause, one time."""
    found: list[Record] = []
    before = at.get(event.position - 1)
    while before is not None and (before.causation_id, before.recorded_at) == (
        event.causation_id,
        event.recorded_at,
    ):
        found.insert(0, before)
        before = at.get(before.position - 1)
    return tuple(found)


def _has(link: Link, position: int) -> bool:
    return position in (link.event.position, *(each.position for each in link.together))
