"""The event log as Server-Sent Events (WHATWG HTML, section 9.2), each a CloudEvent as JSON.

Replay comes first, then the caught-up event, then what happens. Every client pulls from the log at
its own pace and holds at most one event; who takes nothing is hung up on. An event's id is
``LOG/POSITION``, so that a client that comes back with it goes on where it was, in the same log.
"""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from eventlog import LogEnded
from supervisor.access.roles import Action
from supervisor.api import event_query, subscription
from supervisor.api.cloudevents import encode, event_of
from supervisor.api.encoded import Encoded
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import denied_for
from supervisor.api.scope import seen_by
from supervisor.api.subscription import Bookmark, Item, Matching, Subscription
from supervisor.http_api.bodies import Streamed
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.operation import (
    Content,
    Operation,
    Parameter,
    Place,
    Span,
    caller_of,
)
from supervisor.telemetry.metrics import Metrics
from supervisor.vm.commands import DenyReason
from supervisor.vm.events import Outcome

EVENT_STREAM = "text/event-stream"
HEARTBEAT = b":\n\n"
RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a client that lost its connection comes back."""
LAST_EVENT_ID = "Last-Event-ID"

_ID = re.compile(r"(?:(?P<log_id>[!-.0-~]{1,64})/)?(?P<after>[0-9]{1,20})")

POSITION: dict[str, object] = {"type": "integer", "minimum": 0}
PARAMETERS = (
    Parameter("after", Place.QUERY, "Begin after this position; 0 is the beginning.", POSITION),
    Parameter(
        "since",
        Place.QUERY,
        "Begin with the first event of this moment or later, in place of `after`: a time such as "
        "2026-11-23T10:00:00Z, or milliseconds since 1970.",
    ),
    Parameter("log_id", Place.QUERY, "The log that the position belongs to."),
    Parameter("vm_id", Place.QUERY, "Only this VM."),
    Parameter(
        "type",
        Place.QUERY,
        "Only these types, such as vm.stopped.v1.",
        {"type": "array", "items": {"type": "string"}},
    ),
    Parameter("subject", Place.QUERY, "Only this stream: host, vm/ID or artifact/SHA256."),
    Parameter(
        "outcome",
        Place.QUERY,
        "Only events that tell of one of these outcomes.",
        {"type": "array", "items": {"enum": [outcome.value for outcome in Outcome]}},
    ),
    Parameter(
        LAST_EVENT_ID,
        Place.HEADER,
        "The id of the last event that was seen; it is stronger than `after` and `since`.",
        {"type": "string", "pattern": "^([!-.0-~]{1,64}/)?[0-9]{1,20}$"},
    ),
)


class Events:
    """What clients follow."""

    def __init__(self, supervisor: Supervisor, bounds: Bounds, metrics: Metrics) -> None:
        self._subscribers = metrics.subscribers.labels("sse")
        self._supervisor = supervisor
        self._log = supervisor.log
        self._bounds = bounds
        self._encoded = Encoded(self._encode)

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "followEvents",
                "GET",
                "/v1/events",
                Action.WATCH_EVENTS,
                "Replay the log from a position, mark when all of it was sent, then follow it.",
                self._follow,
                {200: Content("Each event is a CloudEvent as JSON.", media_type=EVENT_STREAM)},
                PARAMETERS,
                span=Span.STREAMED,
            ),
        )

    async def _follow(self, request: Request) -> Response:
        wanted = event_query.parse(f"?{request.scope['query_string'].decode('ascii')}")
        wanted = _resumed(wanted, request.headers.get(LAST_EVENT_ID, ""))
        seen = seen_by(self._supervisor, caller_of(request))
        matching = await subscription.begin(wanted, self._log, seen.sight(wanted.vm_id))
        return Streamed(self._events(matching), EVENT_STREAM, {"Cache-Control": "no-store"})

    async def _events(self, matching: Matching) -> AsyncGenerator[bytes, None]:
        yield RETRY
        with suppress(LogEnded), self._subscribers.track_inprogress():
            while True:
                item: Item | None = None
                with trio.move_on_after(self._bounds.heartbeat_s):
                    item = await anext(matching)
                yield HEARTBEAT if item is None else self._encoded(item)

    def _encode(self, item: Item) -> bytes:
        log_id, node_id = self._log.log_id, self._log.node_id
        if isinstance(item, Bookmark):  # an id without data is kept, and no event to anybody
            return f"id: {log_id}/{item.position}\n\n".encode()
        event = event_of(item, log_id=log_id, node_id=node_id, now_ns=time.time_ns())
        return b"id: %s/%d\ndata: %s\n\n" % (log_id.encode(), item.position, encode(event))


def _resumed(wanted: Subscription, last_event_id: str) -> Subscription:
    """Return where a client goes on that was here before. Raises CommandDenied."""
    if not last_event_id:
        return wanted
    found = _ID.fullmatch(last_event_id)
    if found is None:
        takes = f"got {last_event_id[:40]!r}; it takes the id of an event: LOG/POSITION"
        raise denied_for(DenyReason.INVALID_ARGUMENT, LAST_EVENT_ID, takes)
    log_id = found["log_id"] or wanted.log_id
    return msgspec.structs.replace(wanted, after=int(found["after"]), log_id=log_id, since_ns=None)
