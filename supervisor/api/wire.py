"""The core's values -> Protocol Buffers, exactly; manifests and events have their own modules."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chronovisor_api import v1

from supervisor.api.refusals import refuse
from supervisor.api.scope import SeenBy
from supervisor.api.wire_confidential import from_launch
from supervisor.api.wire_manifest import from_manifest
from supervisor.vm.commands import FieldViolation
from supervisor.vm.inputs import awaited_inputs
from supervisor.vm.network_rules import whole_network
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import Launch, Phase, VmState

_EPOCH = datetime.fromtimestamp(0, UTC)


def from_state(state: VmState, queue_position: int | None = None) -> v1.Vm:
    """Return a VM as clients see it; its position counts where it is queued."""
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
        pid=_pid(state),
        contact=_contact(state.silent_since_ms),
        containment=_containment(state.launch),
        previous_launch=_previous(state),
        restarts=len(state.restarts_ms),
        restart_at=_moment(state.deadlines.get(TimerKind.BACKOFF)),
        suspended_since=_moment(state.current.suspended_since_ms if state.has_process else None),
        queue_position=queue_position if state.phase is Phase.QUEUED else None,
        forwards=list(_forwards(state)),
        launch_state=from_launch(state),
        inputs=list(_inputs(state)),
        inputs_deadline=_moment(state.deadlines.get(TimerKind.INPUTS)),
    )


def _forwards(state: VmState) -> Iterator[v1.HostForward]:
    if not state.has_process:
        return
    ports = state.current.host_ports
    for port, forward in zip(ports, whole_network(state.manifest).forwards, strict=True):
        protocol = v1.ForwardProtocol[forward.protocol.name]
        yield v1.HostForward(host_port=port, guest_port=forward.guest_port, protocol=protocol)


def _inputs(state: VmState) -> Iterator[v1.Input]:
    came = {each.name: each for each in state.provided}
    for name in awaited_inputs(state.manifest):
        there = came.get(name)
        yield v1.Input(
            provider=name.provider,
            id=name.id,
            sha256=there.sha256 if there else "",
            size=there.size if there else 0,
        )


def _progress(state: VmState) -> v1.Progress | None:
    if state.progress is None:
        return None
    return v1.Progress(fraction=state.progress.fraction, message=state.progress.message)


def _result(state: VmState) -> v1.Result | None:
    if state.result is None:
        return None
    return v1.Result(sha256=state.result.sha256, size=state.result.size)


def _previous(state: VmState) -> v1.PreviousLaunch | None:
    previous = state.previous
    if previous is None:
        return None
    return v1.PreviousLaunch(
        launch=previous.number,
        outcome=v1.Outcome[previous.outcome.name],
        detail=previous.detail,
        ended_at=_moment(previous.ended_ms),
    )


def _pid(state: VmState) -> int | None:
    process = state.current.process if state.has_process else None
    return process.pid if process else None


def _containment(launch: Launch | None) -> v1.Containment | None:
    if launch is None or launch.containment is None:
        return None
    held = launch.containment
    return v1.Containment(user=held.user, cgroup=held.cgroup, limits=list(held.limits))


def _contact(silent_since_ms: int | None) -> v1.Contact:
    if silent_since_ms is None:
        return v1.Contact(state=v1.ContactState.OK)
    return v1.Contact(state=v1.ContactState.SILENT, silent_since=_moment(silent_since_ms))


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else _EPOCH + timedelta(milliseconds=at_ms)


def phases(wanted: Iterable[v1.Phase]) -> Iterator[str]:
    """Yield the names of the phases that a client asked for. Raises CommandDenied."""
    for phase in wanted:
        if not phase.name or phase is v1.Phase.UNSPECIFIED:
            refuse((FieldViolation("phases", f"got {int(phase)}, which is no phase"),))
        yield phase.name


def console(log: v1.ConsoleLog, seen: SeenBy) -> Callable[[str, int | None], Path]:
    """Return how the daemon finds the text that a client asked for. Raises CommandDenied."""
    consoles = {
        v1.ConsoleLog.UNSPECIFIED: seen.console,
        v1.ConsoleLog.SERIAL: seen.console,
        v1.ConsoleLog.GUEST: seen.guest_log,
    }
    if log not in consoles:
        takes = "CONSOLE_LOG_SERIAL, CONSOLE_LOG_GUEST"
        refuse((FieldViolation("log", f"got {int(log)}; it takes {takes}"),))
    return consoles[log]
