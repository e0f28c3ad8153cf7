"""The core's values -> JSON as clients see it; times are RFC 3339, UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from supervisor.vm.events import Outcome
from supervisor.vm.inputs import awaited_inputs
from supervisor.vm.network_rules import whole_network
from supervisor.vm.observations import Containment, TimerKind
from supervisor.vm.spec import ForwardProtocol, Manifest
from supervisor.vm.state import Phase, PreviousLaunch, Progress, Result, VmState

_EPOCH = datetime.fromtimestamp(0, UTC)


class ProgressView(msgspec.Struct, frozen=True):
    """The last word of the algorithm about itself; ``fraction`` lies in 0..1."""

    fraction: float
    message: str
    reported_at: datetime


class PreviousLaunchView(msgspec.Struct, frozen=True):
    """How the launch before the current one ended."""

    launch: int
    outcome: Outcome
    detail: str
    ended_at: datetime


class ForwardView(msgspec.Struct, frozen=True):
    """Which port of 127.0.0.1 leads to which port of the guest."""

    host_port: int
    guest_port: int
    protocol: ForwardProtocol


class InputView(msgspec.Struct, frozen=True):
    """An input that the manifest names by its provider; nulls while it is awaited."""

    provider: str
    id: str
    sha256: str | None
    size: int | None


class VmView(msgspec.Struct, frozen=True, kw_only=True):
    """A VM. What is null is not known, or not so."""

    vm_id: str
    name: str
    phase: Phase
    outcome: Outcome | None
    exit_code: int | None
    launch: int
    labels: dict[str, str]
    tenant: str
    principal: str
    manifest: Manifest
    manifest_sha256: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ttl_deadline: datetime | None
    progress: ProgressView | None
    result: Result | None
    detail: str
    version: int
    pid: int | None
    silent_since: datetime | None
    containment: Containment | None
    previous_launch: PreviousLaunchView | None
    restarts: int
    restart_at: datetime | None
    suspended_since: datetime | None
    queue_position: int | None
    forwards: tuple[ForwardView, ...]
    inputs: tuple[InputView, ...]
    inputs_deadline: datetime | None


def view(state: VmState, queue_position: int | None) -> VmView:
    """Return a VM as clients see it; its position counts where it is queued."""
    process = state.current.process if state.has_process else None
    suspended_ms = state.current.suspended_since_ms if state.has_process else None
    return VmView(
        vm_id=state.vm_id,
        name=state.manifest.name,
        phase=state.phase,
        outcome=state.outcome,
        exit_code=state.exit_code,
        launch=state.launch_number,
        labels=state.manifest.labels,
        tenant=state.tenant,
        principal=state.principal,
        manifest=state.manifest,
        manifest_sha256=state.digest,
        created_at=_moment(state.created_ms),
        started_at=_maybe(state.started_ms),
        ended_at=_maybe(state.ended_ms),
        ttl_deadline=_maybe(state.deadlines.get(TimerKind.TTL)),
        progress=_progress(state.progress),
        result=state.result,
        detail=state.detail,
        version=state.version,
        pid=process.pid if process else None,
        silent_since=_maybe(state.silent_since_ms),
        containment=state.launch.containment if state.launch else None,
        previous_launch=_previous(state.previous),
        restarts=len(state.restarts_ms),
        restart_at=_maybe(state.deadlines.get(TimerKind.BACKOFF)),
        suspended_since=_maybe(suspended_ms),
        queue_position=queue_position if state.phase is Phase.QUEUED else None,
        forwards=tuple(_forwards(state)),
        inputs=tuple(_inputs(state)),
        inputs_deadline=_maybe(state.deadlines.get(TimerKind.INPUTS)),
    )


def _progress(progress: Progress | None) -> ProgressView | None:
    if progress is None:
        return None
    return ProgressView(progress.fraction, progress.message, _moment(progress.reported_ms))


def _previous(previous: PreviousLaunch | None) -> PreviousLaunchView | None:
    if previous is None:
        return None
    ended_at = _moment(previous.ended_ms)
    return PreviousLaunchView(previous.number, previous.outcome, previous.detail, ended_at)


def _forwards(state: VmState) -> Iterator[ForwardView]:
    if not state.has_process:
        return
    ports = state.current.host_ports
    for port, forward in zip(ports, whole_network(state.manifest).forwards, strict=True):
        yield ForwardView(port, forward.guest_port, forward.protocol)


def _inputs(state: VmState) -> Iterator[InputView]:
    came = {each.name: each for each in state.provided}
    for name in awaited_inputs(state.manifest):
        there = came.get(name)
        sha256, size = (there.sha256, there.size) if there else (None, None)
        yield InputView(name.provider, name.id, sha256, size)


def _moment(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def _maybe(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else _moment(at_ms)
