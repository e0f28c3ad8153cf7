"""One event: what a caller appends, what a reader gets, and its bytes.

The field order of `Record` is the order on disk. It never changes within a format version;
what was not foreseen goes into `ext`.
"""

from collections.abc import Sequence

import msgspec

from eventlog.errors import InvalidEvent

EVENT_LIMIT = 64 * 1024
"""An event's bytes stay below this, so that one frame always holds several events."""

LOG_STREAM = "log"
"""The stream of the log's own events. Callers may not append to it."""

LOG_TYPE_PREFIX = "log."
"""Type tags of the log's own events: `log.repaired.v1`, and `log.base.v1` (reserved)."""


class NewEvent(msgspec.Struct, frozen=True):
    """An event before it has a place in the log.

    `type` is an explicit tag with its version (`vm.guest-started.v1`), never a class name;
    `payload` is one MessagePack map, opaque here.
    """

    stream: str
    type: str
    payload: bytes
    event_id: str
    causation_id: str = ""
    correlation_id: str = ""
    traceparent: str = ""
    tenant: str = ""
    principal: str = ""
    ext: dict[str, str] = {}


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An event in the log.

    `position` is gapless from 1 over the whole log, `version` gapless from 1 in its stream,
    `recorded_at` nanoseconds since 1970 in UTC and never decreasing, `epoch` the life of the
    writer that appended it.
    """

    position: int
    stream: str
    version: int
    type: str
    event_id: str
    recorded_at: int
    epoch: int
    causation_id: str
    correlation_id: str
    traceparent: str
    tenant: str
    principal: str
    ext: dict[str, str]
    payload: bytes

    @property
    def raw(self) -> bytes:
        """The event's exact bytes on disk, for hashing.

        Events are written in one canonical form, so encoding again gives them back;
        `verify_log` checks that this holds for every frame.
        """
        return _encoder.encode(self)


class CaughtUp(msgspec.Struct, frozen=True):
    """A subscriber has seen everything up to `position`; what follows is live."""

    position: int


_encoder = msgspec.msgpack.Encoder()
_decode_all = msgspec.msgpack.Decoder(list[Record]).decode


def place(
    event: NewEvent, position: int, version: int, recorded_at: int, epoch: int
) -> tuple[Record, bytes]:
    """Give an event its place, and encode it.

    The record shares the event's strings, because many are kept in memory. Its types are checked
    as those of one that is read, so the bytes can be read again. Raises InvalidEvent.
    """
    fields = (
        position,
        event.stream,
        version,
        event.type,
        event.event_id,
        recorded_at,
        epoch,
        event.causation_id,
        event.correlation_id,
        event.traceparent,
        event.tenant,
        event.principal,
        event.ext,
        event.payload,
    )
    try:
        placed = msgspec.convert(fields, Record)
        raw = _encoder.encode(placed)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidEvent(str(event.type), str(error)) from error
    if placed.payload != event.payload:
        raise InvalidEvent(event.type, "its payload is a string")  # and was taken for Base64
    return placed, raw


def body(count: int, events: bytes) -> bytes:
    """A frame's body: a MessagePack array of `count` events that are encoded already."""
    if count < 16:
        return bytes((0x90 | count,)) + events
    return b"\xdc" + count.to_bytes(2, "big") + events


def decode(frame_body: bytes) -> list[Record]:
    """All events of a frame. Raises msgspec.DecodeError (a ValueError) for other bytes."""
    return _decode_all(frame_body)


def is_canonical(frame_body: bytes, records: Sequence[Record]) -> bool:
    """Whether the body is exactly what this library writes for these events."""
    return _encoder.encode(records) == frame_body
