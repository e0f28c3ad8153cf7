"""What a subscriber gets -> a CloudEvent (CloudEvents 1.0.2, JSON format, structured mode)."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from eventlog import CaughtUp, Record
from supervisor.api.subscription import Bookmark, Item

TYPE_PREFIX = "org.chronovisor."
CAUGHT_UP_TYPE = f"{TYPE_PREFIX}caught-up.v1"
BOOKMARK_TYPE = f"{TYPE_PREFIX}bookmark.v1"
SUBPROTOCOL = "cloudevents.json"
"""The name that the WebSockets protocol binding gives to structured JSON events."""

_NS = 1_000_000_000


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Context attributes and data. Extensions are omitted where the log knows nothing to say.

    ``sequence`` is the position, zero-padded so that its order as text is the order in the log.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str = ""
    time: str
    sequence: str
    streamversion: int = 0
    causationid: str = ""
    correlationid: str = ""
    traceparent: str = ""
    tenant: str = ""
    principal: str = ""
    epoch: int = 0
    datacontenttype: str
    data: object


def tags(types: Iterable[str]) -> frozenset[str]:
    """Return the log's tags of event types, which may be spelled as those of CloudEvents."""
    return frozenset(name.removeprefix(TYPE_PREFIX) for name in types)


def event_of(item: Item, *, log_id: str, node_id: str, now_ns: int) -> CloudEvent:
    """Return an item as a CloudEvent; one that is not in the log has the time ``now_ns``."""
    match item:
        case CaughtUp(position):
            return _mark(CAUGHT_UP_TYPE, position, log_id, node_id, now_ns)
        case Bookmark(position):
            return _mark(BOOKMARK_TYPE, position, log_id, node_id, now_ns)
    return cloud_event(item, log_id=log_id, node_id=node_id)


def cloud_event(record: Record, *, log_id: str, node_id: str) -> CloudEvent:
    """Return the CloudEvent that a record is."""
    return CloudEvent(
        id=f"{log_id}/{record.position}",
        source=f"/nodes/{node_id}",
        type=TYPE_PREFIX + record.type,
        time=rfc3339(record.recorded_at),
        sequence=_sequence(record.position),
        data=payload(record),
        specversion="1.0",
        datacontenttype="application/json",
        subject=record.stream,
        streamversion=record.version,
        causationid=record.causation_id,
        correlationid=record.correlation_id,
        traceparent=record.traceparent,
        tenant=record.tenant,
        principal=record.principal,
        epoch=record.epoch,
    )


def _mark(mark: str, position: int, log_id: str, node_id: str, now_ns: int) -> CloudEvent:
    name = mark.removeprefix(TYPE_PREFIX).partition(".")[0]
    return CloudEvent(
        id=f"{log_id}/{position}/{name}",
        source=f"/nodes/{node_id}",
        type=mark,
        time=rfc3339(now_ns),
        sequence=_sequence(position),
        data={"position": position},
        specversion="1.0",
        datacontenttype="application/json",
    )


def encode(event: CloudEvent) -> bytes:
    """Return the event as one JSON object; bytes in its data are base64 (RFC 4648, section 4)."""
    return msgspec.json.encode(event)


def payload(record: Record) -> object:
    """Return the facts of a record as the map that they are."""
    return msgspec.msgpack.decode(record.payload)


def rfc3339(at_ns: int) -> str:
    """Return a time in nanoseconds since the epoch as RFC 3339, in UTC, without losing any."""
    whole = datetime.fromtimestamp(at_ns // _NS, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns % _NS:09d}Z"


def _sequence(position: int) -> str:
    return f"{position:020d}"
