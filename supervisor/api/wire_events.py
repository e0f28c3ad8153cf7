"""Events and questions for them, as Protocol Buffers have them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from chronovisor_api import v1

from eventlog import CaughtUp, Record
from supervisor.api.cloudevents import payload, tags
from supervisor.api.moments import nanoseconds
from supervisor.api.refusals import refuse
from supervisor.api.subscription import Bookmark, Item, Subscription
from supervisor.vm.commands import FieldViolation
from supervisor.vm.events import Outcome

_EPOCH = datetime.fromtimestamp(0, UTC)


def from_item(item: Item, *, log_id: str, node_id: str) -> v1.WatchEventsResponse:
    """Return the next thing on a watch."""
    match item:
        case CaughtUp(position):
            return v1.WatchEventsResponse(caught_up=v1.CaughtUp(log_id, position))
        case Bookmark(position):
            return v1.WatchEventsResponse(bookmark=v1.Bookmark(log_id, position))
    return v1.WatchEventsResponse(event=from_record(item, log_id=log_id, node_id=node_id))


def from_record(record: Record, *, log_id: str, node_id: str) -> v1.Event:
    """Return an event of the log as subscribers see it."""
    return v1.Event(
        log_id=log_id,
        node_id=node_id,
        position=record.position,
        stream=record.stream,
        version=record.version,
        type=record.type,
        time=_EPOCH + timedelta(microseconds=record.recorded_at // 1000),
        event_id=record.event_id,
        causation_id=record.causation_id,
        correlation_id=record.correlation_id,
        traceparent=record.traceparent,
        tenant=record.tenant,
        principal=record.principal,
        epoch=record.epoch,
        data_json=msgspec.json.encode(payload(record)).decode(),
    )


def to_subscription(request: v1.WatchEventsRequest) -> Subscription:
    """Return which events a client asks for. Raises CommandDenied."""
    return Subscription(
        after=request.after,
        log_id=request.log_id,
        vm_id=request.vm_id,
        types=tags(request.types),
        since_ns=None if request.since is None else nanoseconds(request.since),
        stream=request.stream,
        outcomes=frozenset(_outcomes(request.outcomes)),
    )


def _outcomes(wanted: Iterable[v1.Outcome]) -> Iterator[Outcome]:
    for outcome in wanted:
        if not outcome.name or outcome is v1.Outcome.UNSPECIFIED:
            refuse((FieldViolation("outcomes", f"got {int(outcome)}, which is no outcome"),))
        yield Outcome[outcome.name]
