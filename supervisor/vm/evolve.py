"""State is a fold of events: this is the fold.

It is total over the events and never asks the world anything, so that replaying a log is always the
same. When an event happened is the time of its record, in milliseconds since the epoch, UTC.
"""

from collections.abc import Iterable

import msgspec

from supervisor.vm import events as ev
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import (
    TRANSITIONS,
    AgentStage,
    Desired,
    Ending,
    Launch,
    Phase,
    Progress,
    Result,
    VmState,
)


def define(
    event: ev.ComputationSubmitted, at_ms: int, *, vm_id: str, tenant: str, principal: str
) -> VmState:
    """Return the state after a VM's first event."""
    return VmState(
        vm_id=vm_id,
        manifest=event.manifest,
        digest=event.digest,
        tenant=tenant,
        principal=principal,
        created_ms=at_ms,
        seen_ms=at_ms,
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
    after = _apply(_with(state, seen_ms=at_ms, version=state.version + 1), event)
    if after.phase is not state.phase and after.phase not in TRANSITIONS[state.phase]:
        raise AssertionError(f"{type(event).__name__}: {state.phase} -> {after.phase}")
    return after


def _apply(state: VmState, event: ev.Event) -> VmState:
    match event:
        case ev.ComputationSubmitted():
            raise AssertionError("a VM is submitted once; define() makes its first state")
        case (
            ev.LaunchIntended()
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
            | ev.AgentBrokeProtocol()
        ):
            return _apply_agent(state, event)
        case (
            ev.PauseOrdered()
            | ev.ResumeOrdered()
            | ev.ResetOrdered()
            | ev.GuestPaused()
            | ev.GuestResumed()
            | ev.GuestReset()
            | ev.GuestPanicked()
            | ev.GuestDiskFailed()
            | ev.GuestShutDown()
        ):
            return _apply_guest(state, event)
        case (
            ev.QmpCommandFailed() | ev.ContactLost() | ev.ObservationGap() | ev.ObservationIgnored()
        ):
            return _apply_contact(state, event)
        case _:
            return _apply_end(state, event)


def _apply_launch(
    state: VmState,
    event: ev.LaunchIntended
    | ev.QemuSpawned
    | ev.QmpReady
    | ev.GuestStarted
    | ev.LaunchAbandoned
    | ev.Adopted,
) -> VmState:
    match event:
        case ev.LaunchIntended():
            launch = Launch(event.launch, event.directory, event.uuid, event.accel, state.seen_ms)
            deadlines = {TimerKind.LAUNCH: event.deadline_ms}
            return _with(state, phase=Phase.LAUNCHING, launch=launch, deadlines=deadlines)
        case ev.QemuSpawned():
            return _with_launch(state, process=event.process)
        case ev.QmpReady():
            return _with_launch(state, qmp_version=event.qemu_version)
        case ev.GuestStarted():
            deadlines = state.deadlines | {TimerKind.TTL: event.ttl_deadline_ms}
            started = _with(state, started_ms=state.seen_ms, deadlines=deadlines)
            return _with(started, phase=Phase.RUNNING)
        case ev.LaunchAbandoned():
            return _with(state, phase=Phase.DEFINED, deadlines={}, silent_since_ms=None)
        case ev.Adopted():
            return _with_launch(_with(state, silent_since_ms=None), process=event.process)


def _apply_agent(
    state: VmState,
    event: ev.AgentReady
    | ev.ComputationStarted
    | ev.ProgressReported
    | ev.ComputationFinished
    | ev.AgentBrokeProtocol,
) -> VmState:
    match event:
        case ev.AgentReady():
            return _with_launch(state, agent=AgentStage.READY)
        case ev.ComputationStarted():
            started = _with_launch(state, agent=AgentStage.STARTED)
            return _without_deadline(started, TimerKind.LAUNCH)
        case ev.ProgressReported():
            progress = Progress(event.fraction, event.message, state.seen_ms)
            counted = _with_launch(state, progress_reports=state.current.progress_reports + 1)
            return _with(counted, progress=progress)
        case ev.ComputationFinished():
            finished = _with_launch(state, agent=AgentStage.FINISHED, finished=event)
            return _with(finished, exit_code=event.exit_code)
        case ev.AgentBrokeProtocol():
            return state


def _apply_guest(
    state: VmState,
    event: ev.PauseOrdered
    | ev.ResumeOrdered
    | ev.ResetOrdered
    | ev.GuestPaused
    | ev.GuestResumed
    | ev.GuestReset
    | ev.GuestPanicked
    | ev.GuestDiskFailed
    | ev.GuestShutDown,
) -> VmState:
    match event:
        case ev.PauseOrdered():
            return _with(state, desired=Desired.PAUSED)
        case ev.ResumeOrdered():
            return _with(state, desired=Desired.RUNNING)
        case ev.GuestPaused():
            return _with(state, phase=Phase.PAUSED)
        case ev.GuestResumed():
            return _with(state, phase=Phase.RUNNING)
        case ev.GuestReset():
            resets = state.current.resets + 1
            again = _with_launch(state, agent=AgentStage.ABSENT, finished=None, resets=resets)
            deadlines = again.deadlines | {TimerKind.LAUNCH: event.deadline_ms}
            return _with(again, deadlines=deadlines, progress=None)
        case ev.GuestDiskFailed():
            return _with_launch(state, disk_failure=event.detail)
        case ev.ResetOrdered() | ev.GuestPanicked() | ev.GuestShutDown():
            return state


def _apply_contact(
    state: VmState,
    event: ev.QmpCommandFailed | ev.ContactLost | ev.ObservationGap | ev.ObservationIgnored,
) -> VmState:
    match event:
        case ev.ContactLost():
            return _with(state, silent_since_ms=state.seen_ms)
        case ev.QmpCommandFailed() | ev.ObservationGap() | ev.ObservationIgnored():
            return state


def _apply_end(
    state: VmState,
    event: ev.StopOrdered
    | ev.StopEscalated
    | ev.ProcessExited
    | ev.ResultRecorded
    | ev.ResultRefused
    | ev.VmStopped
    | ev.VmFailed
    | ev.DeleteOrdered
    | ev.VmDeleted,
) -> VmState:
    match event:
        case ev.StopOrdered():
            ending = Ending(event.outcome, event.step)
            ordered = _with(state, ending=ending, desired=Desired.ENDED)
            deadlines = {TimerKind.STOP: event.deadline_ms}
            return _with(ordered, phase=Phase.STOPPING, deadlines=deadlines)
        case ev.StopEscalated():
            if state.ending is None:
                raise AssertionError("a stop that was never ordered cannot escalate")
            ending = Ending(state.ending.outcome, event.step)
            deadlines = state.deadlines | {TimerKind.STOP: event.deadline_ms}
            return _with(state, ending=ending, deadlines=deadlines)
        case ev.ProcessExited():
            exited = _with_launch(state, exit_evidence=event.evidence)
            return _with(exited, deadlines={}, silent_since_ms=None)
        case ev.ResultRecorded():
            result = Result(event.sha256, event.size)
            return _with(state, result=result, exit_code=event.exit_code)
        case ev.ResultRefused():
            return state
        case ev.VmStopped():
            return _ended(state, Phase.STOPPED, event)
        case ev.VmFailed():
            return _ended(state, Phase.FAILED, event)
        case ev.DeleteOrdered():
            return _with(state, desired=Desired.DELETED)
        case ev.VmDeleted():
            return _with(state, phase=Phase.DELETED)


def _ended(state: VmState, phase: Phase, event: ev.VmStopped | ev.VmFailed) -> VmState:
    return _with(
        state,
        phase=phase,
        outcome=event.outcome,
        detail=event.detail,
        ended_ms=state.seen_ms,
        deadlines={},
        silent_since_ms=None,
    )


def _without_deadline(state: VmState, kind: TimerKind) -> VmState:
    return _with(state, deadlines={k: at for k, at in state.deadlines.items() if k is not kind})


def _with_launch(state: VmState, **changes: object) -> VmState:
    return _with(state, launch=msgspec.structs.replace(state.current, **changes))


def _with(state: VmState, **changes: object) -> VmState:
    return msgspec.structs.replace(state, **changes)
