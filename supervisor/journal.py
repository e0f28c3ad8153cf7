"""Between the words of the core and the bytes of the event log: streams, envelopes, appending."""

import uuid
from collections.abc import Sequence

import msgspec

from eventlog import EventLog, NewEvent, Record
from supervisor.actor import Stamp
from supervisor.cause import Cause
from supervisor.schema import SCHEMA, TAGS, AnyEvent
from supervisor.vm import events as vm
from supervisor.vm.state import VmState

HOST_STREAM = "host"
VM_PREFIX = "vm/"
ARTIFACT_PREFIX = "artifact/"

_encoder = msgspec.msgpack.Encoder()


def vm_stream(vm_id: str) -> str:
    """Return the stream of one VM."""
    return f"{VM_PREFIX}{vm_id}"


def encode(event: AnyEvent, stream: str, tenant: str, cause: Cause) -> NewEvent:
    """Wrap an event in the envelope that the log keeps."""
    return NewEvent(
        stream=stream,
        type=TAGS[type(event)],
        payload=_encoder.encode(event),
        event_id=uuid.uuid4().hex,
        causation_id=cause.causation_id,
        correlation_id=cause.correlation_id,
        traceparent=cause.traceparent,
        tenant=tenant,
        principal=cause.principal,
    )


def decode(record: Record) -> AnyEvent:
    """Return the event that a record holds. Raises UnknownEventError."""
    event: AnyEvent = SCHEMA.decode(record)
    return event


def recorded_ms(record: Record) -> int:
    """Return when a record was made, in milliseconds since the epoch."""
    return record.recorded_at // 1_000_000


class LogJournal:
    """The events of VMs in the event log; one append is one atomic group."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def append(
        self, state: VmState, events: Sequence[vm.Event], cause: Cause
    ) -> tuple[Stamp, ...]:
        """Append after ``state.version``, which a second writer would have moved."""
        stream = vm_stream(state.vm_id)
        new = [encode(event, stream, state.tenant, cause) for event in events]
        records = await self._log.append(new, expected={stream: state.version})
        return tuple(Stamp(record.event_id, recorded_ms(record)) for record in records)
