"""Protocol Buffers <-> the core's values. What comes in is checked here; what goes out is exact."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from chronovisor_api import v1

from eventlog import CaughtUp, Record
from supervisor.api.cloudevents import payload
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import denied, refuse
from supervisor.vm import rules, spec
from supervisor.vm.commands import DenyReason, FieldViolation
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import Launch, VmState

E = TypeVar("E", bound=v1.Machine | v1.Accelerator)
T = TypeVar("T")

_EPOCH = datetime.fromtimestamp(0, UTC)

MACHINES: dict[v1.Machine, spec.Machine] = {
    v1.Machine.UNSPECIFIED: spec.Machine.Q35,
    v1.Machine.Q35: spec.Machine.Q35,
    v1.Machine.PC: spec.Machine.PC,
}
ACCELERATORS: dict[v1.Accelerator, spec.Accelerator] = {
    v1.Accelerator.UNSPECIFIED: spec.Accelerator.AUTO,
    v1.Accelerator.AUTO: spec.Accelerator.AUTO,
    v1.Accelerator.TCG: spec.Accelerator.TCG,
    v1.Accelerator.KVM: spec.Accelerator.KVM,
}


def to_manifest(message: v1.Manifest | None) -> spec.Manifest:
    """Return the manifest that a client sent. Raises CommandDenied with every fault in it."""
    faults: list[FieldViolation] = []
    manifest = _manifest(message or v1.Manifest(), faults)
    faults += rules.check(manifest)
    if message is None:
        faults = [FieldViolation("", "is missing")]
    if faults:
        named = (
            FieldViolation(_under_manifest(wrong.field), wrong.description) for wrong in faults
        )
        raise denied(DenyReason.INVALID_MANIFEST, named)
    return manifest


def _under_manifest(field: str) -> str:
    return f"manifest.{field}" if field else "manifest"


def _manifest(message: v1.Manifest, faults: list[FieldViolation]) -> spec.Manifest:
    algorithm = message.algorithm or v1.Algorithm()
    return spec.Manifest(
        name=message.name,
        description=message.description,
        labels=dict(message.labels),
        algorithm=spec.Algorithm(algorithm.sha256, algorithm.provider, tuple(algorithm.arguments)),
        datasets=tuple(
            spec.Dataset(dataset.name, dataset.sha256, dataset.provider)
            for dataset in message.datasets
        ),
        vm=_shape(message.vm or v1.VmShape(), faults),
        limits=_given(spec.Limits(), message.limits or v1.Limits()),
    )


def _shape(message: v1.VmShape, faults: list[FieldViolation]) -> spec.VmShape:
    default = spec.VmShape()
    kernel, firmware = message.kernel, message.firmware
    layers = tuple(
        _image(f"vm.initrd[{index}]", layer, faults) for index, layer in enumerate(message.initrd)
    )
    return spec.VmShape(
        cpus=default.cpus if message.cpus is None else message.cpus,
        memory_bytes=(
            default.memory_bytes if message.memory_bytes is None else message.memory_bytes
        ),
        machine=_member("vm.machine", MACHINES, message.machine, faults),
        accel=_member("vm.accel", ACCELERATORS, message.accel, faults),
        kernel=default.kernel if kernel is None else _image("vm.kernel", kernel, faults),
        initrd=layers or default.initrd,
        firmware=None if firmware is None else _image("vm.firmware", firmware, faults),
        command_line=message.command_line,
    )


def _given(default: spec.Limits, message: v1.Limits) -> spec.Limits:
    """Return the default limits with those in place that the client gave."""
    given = {name: getattr(message, name) for name in default.__struct_fields__}
    present = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(default, **present)


def _member(field: str, members: Mapping[E, T], got: E, faults: list[FieldViolation]) -> T:
    if got in members:
        return members[got]
    takes = ", ".join(str(member.proto_name) for member in members if member)
    faults.append(FieldViolation(field, f"got {int(got)}; it takes {takes}"))
    return next(iter(members.values()))


def _image(field: str, message: v1.ImageRef, faults: list[FieldViolation]) -> spec.ImageRef:
    if message.sha256 is not None:
        return spec.ByDigest(message.sha256)
    if message.name is not None:
        return spec.ByName(message.name)
    faults.append(FieldViolation(field, "names no image: set sha256 or name"))
    return spec.ByName(spec.REFERENCE_KERNEL)


def from_manifest(manifest: spec.Manifest) -> v1.Manifest:
    """Return a manifest with every default written out."""
    algorithm = manifest.algorithm
    return v1.Manifest(
        name=manifest.name,
        description=manifest.description,
        labels=dict(manifest.labels),
        algorithm=v1.Algorithm(
            sha256=algorithm.sha256,
            provider=algorithm.provider,
            arguments=list(algorithm.arguments),
        ),
        datasets=[
            v1.Dataset(name=dataset.name, sha256=dataset.sha256, provider=dataset.provider)
            for dataset in manifest.datasets
        ],
        vm=_from_shape(manifest.vm),
        limits=v1.Limits(**msgspec.structs.asdict(manifest.limits)),
    )


def _from_shape(shape: spec.VmShape) -> v1.VmShape:
    return v1.VmShape(
        cpus=shape.cpus,
        memory_bytes=shape.memory_bytes,
        machine=v1.Machine[shape.machine.name],
        accel=v1.Accelerator[shape.accel.name],
        kernel=_from_image(shape.kernel),
        initrd=[_from_image(layer) for layer in shape.initrd],
        firmware=None if shape.firmware is None else _from_image(shape.firmware),
        command_line=shape.command_line,
    )


def _from_image(image: spec.ImageRef) -> v1.ImageRef:
    if isinstance(image, spec.ByDigest):
        return v1.ImageRef(sha256=image.sha256)
    return v1.ImageRef(name=image.name)


def from_state(state: VmState) -> v1.Vm:
    """Return a VM as clients see it."""
    return v1.Vm(
        vm_id=state.vm_id,
        name=state.manifest.name,
        phase=v1.Phase[state.phase.name],
        outcome=v1.Outcome[state.outcome.name] if state.outcome else v1.Outcome.UNSPECIFIED,
        exit_code=state.exit_code,
        launch=state.launch_number,
        labels=dict(state.manifest.labels),
        tenant=state.tenant,
        principal=state.principal,
        manifest=from_manifest(state.manifest),
        manifest_sha256=state.digest,
        created_at=_moment(state.created_ms),
        started_at=_moment(state.started_ms),
        ended_at=_moment(state.ended_ms),
        ttl_deadline=_moment(state.deadlines.get(TimerKind.TTL)),
        progress=_progress(state),
        result=_result(state),
        detail=state.detail,
        version=state.version,
        pid=_pid(state.launch),
        contact=_contact(state.silent_since_ms),
    )


def _progress(state: VmState) -> v1.Progress | None:
    if state.progress is None:
        return None
    return v1.Progress(fraction=state.progress.fraction, message=state.progress.message)


def _result(state: VmState) -> v1.Result | None:
    if state.result is None:
        return None
    return v1.Result(sha256=state.result.sha256, size=state.result.size)


def _pid(launch: Launch | None) -> int | None:
    if launch is None or launch.process is None or launch.exit_evidence is not None:
        return None
    return launch.process.pid


def _contact(silent_since_ms: int | None) -> v1.Contact:
    if silent_since_ms is None:
        return v1.Contact(state=v1.ContactState.OK)
    return v1.Contact(state=v1.ContactState.SILENT, silent_since=_moment(silent_since_ms))


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else _EPOCH + timedelta(milliseconds=at_ms)


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


def from_caught_up(marker: CaughtUp, *, log_id: str) -> v1.CaughtUp:
    """Return the marker between replay and what is live."""
    return v1.CaughtUp(log_id=log_id, position=marker.position)


def phases(wanted: Iterable[v1.Phase]) -> Iterator[str]:
    """Yield the names of the phases that a client asked for. Raises CommandDenied."""
    for phase in wanted:
        if not phase.name or phase is v1.Phase.UNSPECIFIED:
            refuse((FieldViolation("phases", f"got {int(phase)}, which is no phase"),))
        yield phase.name


def console(log: v1.ConsoleLog, supervisor: Supervisor) -> Callable[[str], Path]:
    """Return how the daemon finds the text that a client asked for. Raises CommandDenied."""
    consoles = {
        v1.ConsoleLog.UNSPECIFIED: supervisor.console,
        v1.ConsoleLog.SERIAL: supervisor.console,
        v1.ConsoleLog.GUEST: supervisor.guest_log,
    }
    if log not in consoles:
        takes = "CONSOLE_LOG_SERIAL, CONSOLE_LOG_GUEST"
        refuse((FieldViolation("log", f"got {int(log)}; it takes {takes}"),))
    return consoles[log]
