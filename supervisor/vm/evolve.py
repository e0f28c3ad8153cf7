"""State is a fold of events: this is the fold.

It is total over the events and never asks the world anything, so that replaying a log is always the
same. When an event happened is the time of its record, in milliseconds since the epoch, UTC.
"""

from collections.abc import Iterable

from supervisor.vm import events as ev
from supervisor.vm.changed import changed, with_guest_event, with_launch, without_deadline
from supervisor.vm.confidential import Sev
from supervisor.vm.evolve_attestation import evolve_attestation
from supervisor.vm.evolve_end import EndEvent, evolve_end
from supervisor.vm.evolve_guest import GuestEvent, evolve_guest
from supervisor.vm.evolve_inputs import evolve_inputs
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import TRANSITIONS, AgentStage, Launch, Phase, Progress, VmState

USED_SESSIONS = 1024
"""64 KiB of digests: more launches than an owner verifies by hand."""


def define(
    event: ev.ComputationSubmitted, at_ms: int, *, vm_id: str, tenant: str, principal: str
) -> VmState:
    """Return the state after a VM's first event."""
    wanted = event.manifest.confidential
    return VmState(
        vm_id=vm_id,
        manifest=event.manifest,
        digest=event.digest,
        tenant=tenant,
        principal=principal,
        created_ms=at_ms,
        seen_ms=at_ms,
        session=wanted.session if isinstance(wanted, Sev) else None,
    )


def fold(state: VmState, events: Iterable[ev.Event], at_ms: int) -> VmState:
    """Return ``state`` after ``events``, all of the same moment."""
    for event in events:
        state = evolve(state, event, at_ms)
    return state


def evolve(state: VmState, event: ev.Event, at_ms: int) -> VmState:
    """Return the state after one more event.

    Raises AssertionError for a change of phase that :data:`TRANSITIONS` does not know.
    """
    after = _apply(changed(state, seen_ms=at_ms, version=state.version + 1), event)
    if after.phase is not state.phase and after.phase not in TRANSITIONS[state.phase]:
        raise AssertionError(f"{type(event).__name__}: {state.phase} -> {after.phase}")
    return after


def _apply(state: VmState, event: ev.Event) -> VmState:
    if isinstance(event, GuestEvent):
        return evolve_guest(state, event)
    if isinstance(event, EndEvent):
        return evolve_end(state, event)
    if isinstance(event, ev.AttestationEvent):
        return evolve_attestation(state, event)
    if isinstance(event, ev.InputEvent):
        return evolve_inputs(state, event)
    match event:
        case ev.ComputationSubmitted():
            raise AssertionError("a VM is submitted once; define() makes its first state")
        case (
            ev.Queued()
            | ev.LaunchIntended()
            | ev.QemuSpawned()
            | ev.QmpReady()
            | ev.GuestStarted()
            | ev.LaunchAbandoned()
            | ev.Adopted()
        ):
            return _apply_launch(state, event)
        case (
            ev.AgentReady()
            | ev.ComputationStarted()
            | ev.ProgressReported()
            | ev.ComputationFinished()
            | ev.GuestReady()
            | ev.AgentBrokeProtocol()
        ):
            return _apply_agent(state, event)
        case _:
            return _apply_contact(state, event)


def _apply_launch(
    state: VmState,
    event: ev.Queued
    | ev.LaunchIntended
    | ev.QemuSpawned
    | ev.QmpReady
    | ev.GuestStarted
    | ev.LaunchAbandoned
    | ev.Adopted,
) -> VmState:
    match event:
        case ev.Queued():
            return changed(state, phase=Phase.QUEUED, ticket=event.ticket)
        case ev.LaunchIntended():
            return _intended(state, event)
        case ev.QemuSpawned():
            return with_launch(state, process=event.process)
        case ev.QmpReady():
            return with_launch(state, qmp_version=event.qemu_version, containment=event.containment)
        case ev.GuestStarted():
            deadlines = state.deadlines | {TimerKind.TTL: event.ttl_deadline_ms}
            started = changed(state, started_ms=state.seen_ms, deadlines=deadlines)
            return changed(started, phase=Phase.RUNNING)
        case ev.LaunchAbandoned():
            # What never became a process has used no session up.
            kept = changed(state, session=state.current.session)
            return changed(kept, phase=Phase.DEFINED, deadlines={}, silent_since_ms=None)
        case ev.Adopted():
            adopted = with_launch(changed(state, silent_since_ms=None), process=event.process)
            return with_launch(adopted, containment=event.containment or state.current.containment)


def _intended(state: VmState, event: ev.LaunchIntended) -> VmState:
    launch = Launch(
        event.launch,
        event.directory,
        event.uuid,
        event.accel,
        state.seen_ms,
        event.host_ports,
        session=state.session,
        claims=event.claims,
    )
    return changed(
        state,
        phase=Phase.LAUNCHING,
        launch=launch,
        deadlines={TimerKind.LAUNCH: event.deadline_ms},
        unused_launches=0,
        session=None,
        used_sessions=_with_session(state.used_sessions, event.session_sha256),
    )


def _with_session(used: tuple[str, ...], sha256: str) -> tuple[str, ...]:
    return used if sha256 in ("", *used) else (*used, sha256)[-USED_SESSIONS:]


def _apply_agent(
    state: VmState,
    event: ev.AgentReady
    | ev.ComputationStarted
    | ev.ProgressReported
    | ev.ComputationFinished
    | ev.GuestReady
    | ev.AgentBrokeProtocol,
) -> VmState:
    match event:
        case ev.AgentReady():
            return with_launch(state, agent=AgentStage.READY)
        case ev.ComputationStarted():
            started = with_launch(state, agent=AgentStage.STARTED)
            return without_deadline(started, TimerKind.LAUNCH)
        case ev.GuestReady():
            ready = without_deadline(with_launch(state, agent=AgentStage.READY), TimerKind.LAUNCH)
            deadlines = ready.deadlines | {TimerKind.TTL: event.ttl_deadline_ms}
            return changed(ready, deadlines=deadlines)
        case ev.ProgressReported():
            progress = Progress(event.fraction, event.message, state.seen_ms)
            return changed(with_guest_event(state), progress=progress)
        case ev.ComputationFinished():
            finished = with_launch(state, agent=AgentStage.FINISHED, finished=event)
            return changed(finished, exit_code=event.exit_code)
        case ev.AgentBrokeProtocol():
            return state


def _apply_contact(
    state: VmState,
    event: ev.QmpCommandFailed | ev.ContactLost | ev.ObservationGap | ev.ObservationIgnored,
) -> VmState:
    match event:
        case ev.ContactLost():
            return changed(state, silent_since_ms=state.seen_ms)
        case ev.QmpCommandFailed() | ev.ObservationGap():
            return with_guest_event(state)
        case ev.ObservationIgnored():
            return state
