"""Draft -> the daemon's manifest and the files that must be uploaded first."""

import re
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from supervisor.manifest.confidential import read_confidential
from supervisor.manifest.files import LocalFile, Report, Unfit, Upload, survey
from supervisor.manifest.reading import ManifestInvalid, images, inputs
from supervisor.manifest.schema import (
    CORE_NAMES,
    AgentKind,
    AgentSection,
    ConsoleEntry,
    Draft,
    ImageEntry,
    LimitsSection,
    RestartSection,
)
from supervisor.vm import spec
from supervisor.vm.commands import FieldViolation
from supervisor.vm.confidential import Confidential
from supervisor.vm.guest_agent import (
    AGENT_TCP_PORT,
    Agent,
    ConsoleReady,
    OwnAgent,
    ReferenceAgent,
)
from supervisor.vm.ranges import RANGES, Range
from supervisor.vm.rules import check
from supervisor.written.examine import shown
from supervisor.written.quantities import Quantity

PYTHON_PROGRAM = re.compile(rb"#![^\n]*python")
DEADLINE, DEADLINE_TAKES = "confidential.deadline", "1s to 1d"
"""Of an owner's decision: the one duration that is no limit of every computation."""

_BOUND_OF: Mapping[str, Range] = {bound.field: bound for bound in RANGES}


class Prepared(Struct, frozen=True):
    """A manifest that the daemon takes once ``uploads`` are there; each digest occurs once."""

    manifest: spec.Manifest
    uploads: tuple[Upload, ...]


def local_files(draft: Draft, directory: Path) -> Iterator[LocalFile]:
    """Yield the files that a draft names; relative paths count from ``directory``."""
    for field, source in inputs(draft):
        if source.path is not None:
            yield LocalFile(field, directory / source.path, source.sha256)
    for field, image in images(draft):
        if isinstance(image, ImageEntry) and image.path is not None:
            yield LocalFile(field, directory / image.path, image.sha256)


def prepare(draft: Draft, file: Path, report: Report = lambda _: None) -> Prepared:
    """Read the local files of the draft that was loaded from ``file``.

    Raises :class:`ManifestInvalid` with every file that is missing, unreadable or not the one it
    should be, or else with every value that is out of the daemon's bounds.
    """
    uploads: dict[str, Upload] = {}
    violations: list[FieldViolation] = []
    for local in local_files(draft, file.parent):
        try:
            uploads[local.field] = survey(local, report)
        except Unfit as why:
            violations.append(FieldViolation(local.field, str(why)))
    confidential = read_confidential(draft.confidential, file.parent, violations.append)
    if violations:
        raise ManifestInvalid(file, tuple(violations))
    manifest = _normalise(draft, uploads, confidential)
    if outside := check(manifest):
        raise ManifestInvalid(file, tuple(_as_written(violation, draft) for violation in outside))
    first = {upload.sha256: upload for upload in reversed(uploads.values())}
    return Prepared(manifest, tuple(reversed(first.values())))


def _normalise(
    draft: Draft, uploads: Mapping[str, Upload], confidential: Confidential | None
) -> spec.Manifest:
    digests = {field: upload.sha256 for field, upload in uploads.items()}
    digests |= {
        field: source.sha256 for field, source in inputs(draft) if source.sha256 is not None
    }
    return spec.Manifest(
        name=draft.name,
        description=draft.description,
        labels=draft.labels,
        algorithm=spec.Algorithm(
            sha256=digests.get("algorithm", ""),
            provider=draft.algorithm.provider,
            arguments=draft.algorithm.arguments,
            encryption=draft.algorithm.encryption,
            id=draft.algorithm.id,
        ),
        datasets=tuple(
            spec.Dataset(
                dataset.name,
                digests.get(f"datasets[{index}]", ""),
                dataset.provider,
                dataset.encryption,
                dataset.id,
            )
            for index, dataset in enumerate(draft.datasets)
        ),
        vm=_shape(draft, uploads),
        limits=_limits(draft.limits),
        restart=_restart(draft.restart),
        network=_network(draft),
        confidential=confidential,
        result_recipients=tuple(
            spec.Recipient(each.name, each.public_key) for each in draft.result_recipients
        ),
        result_consumers=draft.result_consumers,
        agent=_agent(draft.agent),
    )


def _shape(draft: Draft, uploads: Mapping[str, Upload]) -> spec.VmShape:
    refs = {field: _image_ref(image, uploads.get(field)) for field, image in images(draft)}
    layers = tuple(ref for field, ref in refs.items() if field.startswith("vm.initrd"))
    return spec.VmShape(
        cpus=draft.vm.cpus,
        memory_bytes=int(draft.vm.memory),
        machine=draft.vm.machine,
        accel=draft.vm.accel,
        kernel=refs["vm.kernel"],
        initrd=_default_layers(uploads.get("algorithm")) if draft.vm.initrd is None else layers,
        firmware=refs.get("vm.firmware"),
        firmware_vars=refs.get("vm.firmware_vars"),
        command_line=draft.vm.command_line,
        watchdog=draft.vm.watchdog,
    )


def _limits(limits: LimitsSection) -> spec.Limits:
    return spec.Limits(
        ttl_ms=int(limits.ttl),
        launch_deadline_ms=int(limits.launch_deadline),
        stop_grace_ms=int(limits.stop_grace),
        result_bytes=int(limits.result_size),
        log_bytes=int(limits.log_size),
        inputs_deadline_ms=int(limits.inputs_deadline),
    )


def _network(draft: Draft) -> spec.Network:
    network = draft.network
    if network is None:
        agent = _agent(draft.agent)
        reached = isinstance(agent, OwnAgent) and agent.port is not None
        return spec.Network(spec.NetworkMode.RESTRICTED if reached else spec.NetworkMode.NONE)
    forwards = (
        spec.Forward(entry.guest_port, entry.host_port, entry.protocol)
        for entry in network.forwards
    )
    return spec.Network(network.mode, tuple(forwards))


def _agent(agent: AgentSection) -> Agent:
    if agent.kind is AgentKind.REFERENCE:
        return ReferenceAgent()
    if isinstance(agent.ready, ConsoleEntry):
        return OwnAgent(agent.port, ConsoleReady(agent.ready.console))
    return OwnAgent(AGENT_TCP_PORT if agent.port is None else agent.port)


def _restart(restart: RestartSection) -> spec.RestartPolicy:
    return spec.RestartPolicy(
        policy=restart.policy,
        max_restarts=restart.max_restarts,
        period_ms=int(restart.period),
        backoff_ms=int(restart.backoff),
        backoff_max_ms=int(restart.backoff_max),
    )


def _image_ref(image: str | ImageEntry, upload: Upload | None) -> spec.ImageRef:
    if isinstance(image, str):
        return spec.ByName(image)
    if image.name is not None:
        return spec.ByName(image.name)
    return spec.ByDigest(upload.sha256 if upload else image.sha256 or "")


def _default_layers(algorithm: Upload | None) -> tuple[spec.ImageRef, ...]:
    """Return the reference layers that a program needs, as far as its first line tells."""
    base = (spec.ByName(spec.REFERENCE_BASE),)
    if algorithm is not None and PYTHON_PROGRAM.match(algorithm.head):
        return (*base, spec.ByName(spec.REFERENCE_PYTHON))
    return base


def _as_written(violation: FieldViolation, draft: Draft) -> FieldViolation:
    """Return what the core says of a quantity in the name and the units of the file."""
    if violation.field == "confidential.deadline_ms" and draft.confidential is not None:
        written = shown(draft.confidential.deadline.written)
        return FieldViolation(DEADLINE, f"got {written}; it takes {DEADLINE_TAKES}")
    if violation.field == "agent.ready.line":
        return FieldViolation("agent.ready.console", violation.description)
    if violation.field not in CORE_NAMES:
        return violation
    field = CORE_NAMES[violation.field]
    quantity: Quantity = attrgetter(field)(draft)
    takes = _BOUND_OF[violation.field].takes_instead_of(quantity)
    return FieldViolation(field, f"got {shown(quantity.written)}; it takes {takes}")
