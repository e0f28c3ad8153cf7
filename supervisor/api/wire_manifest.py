"""Manifests <-> Protocol Buffers. What comes in is checked here; what goes out is complete."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from chronovisor_api import v1

from supervisor.api.refusals import denied
from supervisor.api.wire_agent import FIELDS, from_agent, to_agent
from supervisor.api.wire_confidential import from_confidential, on_the_wire, to_confidential
from supervisor.vm import rules, spec
from supervisor.vm.commands import DenyReason, FieldViolation

E = TypeVar(
    "E",
    bound=v1.Machine | v1.Accelerator | v1.RestartOn | v1.NetworkMode | v1.ForwardProtocol,
)
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

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
RESTARTS: dict[v1.RestartOn, spec.RestartOn] = {
    v1.RestartOn.UNSPECIFIED: spec.RestartOn.NEVER,
    v1.RestartOn.NEVER: spec.RestartOn.NEVER,
    v1.RestartOn.FAILURE: spec.RestartOn.FAILURE,
    v1.RestartOn.ALWAYS: spec.RestartOn.ALWAYS,
}

NETWORK_MODES: dict[v1.NetworkMode, spec.NetworkMode] = {
    v1.NetworkMode.UNSPECIFIED: spec.NetworkMode.NONE,
    v1.NetworkMode.NONE: spec.NetworkMode.NONE,
    v1.NetworkMode.RESTRICTED: spec.NetworkMode.RESTRICTED,
    v1.NetworkMode.USER: spec.NetworkMode.USER,
}
PROTOCOLS: dict[v1.ForwardProtocol, spec.ForwardProtocol] = {
    v1.ForwardProtocol.UNSPECIFIED: spec.ForwardProtocol.TCP,
    v1.ForwardProtocol.TCP: spec.ForwardProtocol.TCP,
}


def to_manifest(message: v1.Manifest | None) -> spec.Manifest:
    """Return the manifest that a client sent. Raises CommandDenied with every fault in it."""
    faults: list[FieldViolation] = []
    manifest = _manifest(_or_empty(v1.Manifest, message), faults)
    faults += rules.check(manifest)
    if message is None:
        faults = [FieldViolation("", "is missing")]
    if faults:
        named = (FieldViolation(_named(wrong, manifest), wrong.description) for wrong in faults)
        raise denied(DenyReason.INVALID_MANIFEST, named)
    return manifest


def _named(wrong: FieldViolation, manifest: spec.Manifest) -> str:
    field = on_the_wire(FIELDS.get(wrong.field, wrong.field), manifest.confidential)
    return f"manifest.{field}" if field else "manifest"


def _manifest(message: v1.Manifest, faults: list[FieldViolation]) -> spec.Manifest:
    algorithm = _or_empty(v1.Algorithm, message.algorithm)
    return spec.Manifest(
        name=message.name,
        description=message.description,
        labels=dict(message.labels),
        algorithm=spec.Algorithm(
            algorithm.sha256,
            algorithm.provider,
            tuple(algorithm.arguments),
            algorithm.encryption,
            algorithm.id,
        ),
        datasets=tuple(
            spec.Dataset(each.name, each.sha256, each.provider, each.encryption, each.id)
            for each in message.datasets
        ),
        vm=_shape(_or_empty(v1.VmShape, message.vm), faults),
        limits=_given(spec.Limits(), _or_empty(v1.Limits, message.limits)),
        restart=_restart(_or_empty(v1.RestartPolicy, message.restart), faults),
        network=_network(_or_empty(v1.Network, message.network), faults),
        confidential=to_confidential(message.confidential, faults),
        result_recipients=tuple(
            spec.Recipient(each.name, each.public_key) for each in message.result_recipients
        ),
        result_consumers=tuple(message.result_consumers),
        agent=to_agent(message.agent, faults),
    )


def _or_empty(kind: type[T], message: T | None) -> T:
    # Whether a message is true costs betterproto2 a comparison of all its fields.
    return kind() if message is None else message


def _network(message: v1.Network, faults: list[FieldViolation]) -> spec.Network:
    return spec.Network(
        mode=_member("network.mode", NETWORK_MODES, message.mode, faults),
        forwards=tuple(
            spec.Forward(
                forward.guest_port,
                forward.host_port,
                _member(f"network.forwards[{at}].protocol", PROTOCOLS, forward.protocol, faults),
            )
            for at, forward in enumerate(message.forwards)
        ),
    )


def _restart(message: v1.RestartPolicy, faults: list[FieldViolation]) -> spec.RestartPolicy:
    policy = _member("restart.policy", RESTARTS, message.policy, faults)
    given = _given(spec.RestartPolicy(), message)
    return msgspec.structs.replace(given, policy=policy)


def _shape(message: v1.VmShape, faults: list[FieldViolation]) -> spec.VmShape:
    default = spec.VmShape()
    kernel, firmware, own_vars = message.kernel, message.firmware, message.firmware_vars
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
        firmware_vars=(None if own_vars is None else _image("vm.firmware_vars", own_vars, faults)),
        command_line=message.command_line,
        watchdog=message.watchdog,
    )


def _given(default: S, message: v1.Limits | v1.RestartPolicy) -> S:
    """Return the default numbers with those in place that the client gave."""
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
            encryption=algorithm.encryption,
            id=algorithm.id,
        ),
        datasets=[v1.Dataset(**msgspec.structs.asdict(each)) for each in manifest.datasets],
        vm=_from_shape(manifest.vm),
        limits=v1.Limits(**msgspec.structs.asdict(manifest.limits)),
        restart=_from_restart(manifest.restart),
        network=_from_network(manifest.network),
        confidential=from_confidential(manifest.confidential),
        result_recipients=[
            v1.Recipient(**msgspec.structs.asdict(each)) for each in manifest.result_recipients
        ],
        result_consumers=list(manifest.result_consumers),
        agent=from_agent(manifest.agent),
    )


def _from_network(network: spec.Network) -> v1.Network:
    return v1.Network(
        mode=v1.NetworkMode[network.mode.name],
        forwards=[
            v1.Forward(
                guest_port=forward.guest_port,
                host_port=forward.host_port,
                protocol=v1.ForwardProtocol[forward.protocol.name],
            )
            for forward in network.forwards
        ],
    )


def _from_restart(restart: spec.RestartPolicy) -> v1.RestartPolicy:
    numbers = msgspec.structs.asdict(restart)
    return v1.RestartPolicy(**(numbers | {"policy": v1.RestartOn[restart.policy.name]}))


def _from_shape(shape: spec.VmShape) -> v1.VmShape:
    return v1.VmShape(
        cpus=shape.cpus,
        memory_bytes=shape.memory_bytes,
        machine=v1.Machine[shape.machine.name],
        accel=v1.Accelerator[shape.accel.name],
        kernel=_from_image(shape.kernel),
        initrd=[_from_image(layer) for layer in shape.initrd],
        firmware=None if shape.firmware is None else _from_image(shape.firmware),
        firmware_vars=None if shape.firmware_vars is None else _from_image(shape.firmware_vars),
        command_line=shape.command_line,
        watchdog=shape.watchdog,
    )


def _from_image(image: spec.ImageRef) -> v1.ImageRef:
    if isinstance(image, spec.ByDigest):
        return v1.ImageRef(sha256=image.sha256)
    return v1.ImageRef(name=image.name)
