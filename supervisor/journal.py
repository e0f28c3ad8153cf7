"""Between the words of the core and the bytes of the event log: tags, codecs, streams, replay."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from eventlog import EventLog, NewEvent, Record
from supervisor.actor import Stamp
from supervisor.admission import events as admission
from supervisor.admission.state import AdmissionState
from supervisor.cannot_serve import CannotServe
from supervisor.cause import Cause
from supervisor.vm import events as vm
from supervisor.vm.evolve import define, evolve
from supervisor.vm.state import VmState

HOST_STREAM = "host"
VM_PREFIX = "vm/"
ARTIFACT_PREFIX = "artifact/"

AnyEvent = vm.Event | admission.Event

TAGS: Mapping[type[Any], str] = {**vm.TAGS, **admission.TAGS}

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {
    tag: msgspec.msgpack.Decoder(event_type) for event_type, tag in TAGS.items()
}


class UnknownEventError(CannotServe):
    """The log holds an event of a newer version of this program."""


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
    """Return the event that a record holds.

    Raises UnknownEventError for a tag that this version does not know.
    """
    decoder = _decoders.get(record.type)
    if decoder is None:
        raise UnknownEventError(
            f"the log holds {record.type!r} at position {record.position}, which this version of "
            "chronovisor does not know; start the version that wrote it, or a newer one"
        )
    event: AnyEvent = decoder.decode(record.payload)
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


class World(msgspec.Struct):
    """Everything the log says, folded."""

    admission: AdmissionState
    vms: dict[str, VmState]


def replay(records: Iterable[Record]) -> World:
    """Fold a log from its beginning. Raises UnknownEventError."""
    world = World(AdmissionState(), {})
    for record in records:
        if record.stream.startswith(VM_PREFIX):
            _replay_vm(world.vms, record)
        elif record.stream == HOST_STREAM:
            event = decode(record)
            assert isinstance(event, admission.Event)
            world.admission.evolve(event, record.tenant)
    return world


def _replay_vm(vms: dict[str, VmState], record: Record) -> None:
    vm_id = record.stream.removeprefix(VM_PREFIX)
    event = decode(record)
    assert isinstance(event, vm.Event)
    if isinstance(event, vm.ComputationSubmitted):
        vms[vm_id] = define_from(record, event)
    else:
        vms[vm_id] = evolve(vms[vm_id], event, recorded_ms(record))


def define_from(record: Record, event: vm.ComputationSubmitted) -> VmState:
    """Return the first state of the VM that a record submits."""
    return define(
        event,
        recorded_ms(record),
        vm_id=record.stream.removeprefix(VM_PREFIX),
        tenant=record.tenant,
        principal=record.principal,
    )


async def load_vm(log: EventLog, vm_id: str) -> VmState:
    """Fold one VM's stream from its beginning."""
    vms: dict[str, VmState] = {}
    async for record in log.read(stream=vm_stream(vm_id)):
        _replay_vm(vms, record)
    return vms[vm_id]
