"""The fold of how a launch ends, and of what follows: another launch, or the VM's own end."""

from supervisor.vm import events as ev
from supervisor.vm.changed import changed, with_launch
from supervisor.vm.observations import TimerKind
from supervisor.vm.relaunching import may_be_followed
from supervisor.vm.state import (
    ALIVE,
    Desired,
    Ending,
    Phase,
    PreviousLaunch,
    Result,
    VmState,
)

EndEvent = (
    ev.StopOrdered
    | ev.StopEscalated
    | ev.ProcessExited
    | ev.ResultRecorded
    | ev.ResultRefused
    | ev.LaunchEnded
    | ev.BackoffElapsed
    | ev.StartOrdered
    | ev.RestartCancelled
    | ev.VmStopped
    | ev.VmFailed
    | ev.DeleteOrdered
    | ev.RemovalFailed
    | ev.VmDeleted
)


def evolve_end(state: VmState, event: EndEvent) -> VmState:
    """Return the state after one more event of these."""
    match event:
        case ev.StopOrdered() | ev.StopEscalated():
            return _ending(state, event)
        case ev.ProcessExited():
            exited = with_launch(state, exit_evidence=event.evidence)
            return changed(exited, deadlines={}, silent_since_ms=None)
        case ev.ResultRecorded():
            result = Result(event.sha256, event.size)
            return changed(state, result=result, exit_code=event.exit_code)
        case ev.ResultRefused():
            return state
        case ev.LaunchEnded() | ev.BackoffElapsed() | ev.StartOrdered():
            return _followed(state, event)
        case ev.RestartCancelled():
            return changed(state, desired=Desired.ENDED)
        case ev.VmStopped():
            desired = state.desired if state.desired is Desired.DELETED else Desired.ENDED
            return changed(_ended(state, Phase.STOPPED, event), desired=desired)
        case ev.VmFailed():
            return _ended(state, Phase.FAILED, event)
        case ev.DeleteOrdered():
            return changed(state, desired=Desired.DELETED)
        case ev.RemovalFailed():
            told = f"{state.detail}; its files cannot be removed: {event.detail}"
            return changed(state, detail=told, removal_failed_ms=state.seen_ms)
        case ev.VmDeleted():
            return changed(state, phase=Phase.DELETED)


def _ending(state: VmState, event: ev.StopOrdered | ev.StopEscalated) -> VmState:
    if isinstance(event, ev.StopOrdered):
        followed = may_be_followed(state.manifest.restart, event.outcome)
        return changed(
            state,
            phase=Phase.STOPPING,
            ending=Ending(event.outcome, event.step, event.detail),
            desired=Desired.RUNNING if followed else Desired.ENDED,
            deadlines={TimerKind.STOP: event.deadline_ms},
        )
    if state.ending is None:
        raise AssertionError("a stop that was never ordered cannot escalate")
    ending = Ending(state.ending.outcome, event.step, state.ending.detail)
    deadlines = state.deadlines | {TimerKind.STOP: event.deadline_ms}
    return changed(state, ending=ending, deadlines=deadlines)


def _followed(
    state: VmState, event: ev.LaunchEnded | ev.BackoffElapsed | ev.StartOrdered
) -> VmState:
    match event:
        case ev.LaunchEnded():
            earlier = state.restarts_ms[len(state.restarts_ms) + 1 - event.restart :]
            return changed(
                _over(state),
                phase=Phase.BACKOFF,
                desired=Desired.RUNNING,
                ending=None,
                detail=event.detail,
                deadlines={TimerKind.BACKOFF: event.deadline_ms},
                restarts_ms=(*earlier, state.seen_ms),
                previous=PreviousLaunch(event.launch, event.outcome, event.detail, state.seen_ms),
            )
        case ev.BackoffElapsed():
            return _anew(state)
        case ev.StartOrdered():
            return changed(_anew(state), result=None, restarts_ms=(), previous=_previous(state))


def _anew(state: VmState) -> VmState:
    """Forget how the launch before went; the log does not."""
    return changed(
        state,
        phase=Phase.DEFINED,
        desired=Desired.RUNNING,
        deadlines={},
        ending=None,
        outcome=None,
        detail="",
        exit_code=None,
        started_ms=None,
        ended_ms=None,
        progress=None,
        relaunch_due_ms=state.seen_ms,
    )


def _previous(state: VmState) -> PreviousLaunch | None:
    if state.outcome is None or state.ended_ms is None:
        return state.previous
    return PreviousLaunch(state.launch_number, state.outcome, state.detail, state.ended_ms)


def _over(state: VmState) -> VmState:
    # The files that were being made may still come, and must not be taken for those of the next.
    without_files = (*ALIVE, Phase.BACKOFF, Phase.AWAITING_INPUTS)
    unused = state.unused_launches + (state.phase not in without_files)
    return changed(state, deadlines={}, silent_since_ms=None, unused_launches=unused)


def _ended(state: VmState, phase: Phase, event: ev.VmStopped | ev.VmFailed) -> VmState:
    return changed(
        _over(state),
        phase=phase,
        outcome=event.outcome,
        detail=event.detail,
        ended_ms=state.seen_ms,
    )
