"""What QEMU does with the guest's CPUs, as it says itself or answers to ``query-status``.

What is seen here is what it *is*; what it was ordered to be is :class:`Desired`, and where the two
differ the order is given again.
"""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.attestation import bypassed, escaped, is_gated, let_run
from supervisor.vm.decision import NOTHING, Decision, end_guest, escalate, repeat_step, tell
from supervisor.vm.observations import RunState
from supervisor.vm.own_agent import await_ready, latest_ttl_deadline
from supervisor.vm.state import AgentStage, Desired, Phase, VmState

DOWN = {
    RunState.SHUTDOWN: ev.Outcome.GUEST_POWERED_OFF,
    RunState.PANICKED: ev.Outcome.GUEST_PANICKED,
    RunState.HUNG: ev.Outcome.GUEST_HUNG,
    RunState.DISK_FAILED: ev.Outcome.HOST_DISK_FAILED,
    RunState.ERROR: ev.Outcome.QEMU_CRASHED,
}
"""States that no guest comes back from, and the outcome where nothing more is known."""


def fold_run_state(state: VmState, run_state: RunState, now_ms: int) -> Decision:
    """Catch up with what ``query-status`` says after events may have been missed."""
    if state.ending:
        if run_state is RunState.RUNNING and (kill := escaped(state, now_ms)).events:
            return kill
        if run_state in DOWN and state.ending.step is ev.StopStep.ASK_GUEST:
            return escalate(state, ev.StopStep.QUIT, now_ms)
        return Decision(effects=repeat_step(state))
    if is_gated(state) and run_state is not RunState.PRELAUNCH:
        return bypassed(state, now_ms)  # every other state is of CPUs that have run
    if (outcome := DOWN.get(run_state)) is not None:
        return end_guest(state, outcome, now_ms)
    if run_state is RunState.SUSPENDED:
        return _found_suspended(state, now_ms)
    woke = () if state.current.suspended_since_ms is None else (ev.GuestWoke(state.launch_number),)
    if run_state is RunState.RUNNING:
        return resumed(state, now_ms).after(*woke)
    return _found_frozen(state, run_state).after(*woke)


def stopped(state: VmState) -> Decision:
    """QEMU says STOP: as ordered, or it has to be asked why."""
    if state.phase is not Phase.RUNNING:
        return NOTHING
    if state.desired is Desired.PAUSED:
        return Decision((ev.GuestPaused(state.launch_number),))
    return Decision(effects=(fx.QueryRunState(state.launch_number),))


def resumed(state: VmState, now_ms: int) -> Decision:
    """QEMU says RESUME, or is found running."""
    if is_gated(state):
        return bypassed(state, now_ms)
    stop = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.STOP)
    match state.phase:
        case Phase.STOPPING:
            return escaped(state, now_ms)
        case Phase.LAUNCHING:
            return _started(state, now_ms)
        case Phase.PAUSED:
            again = (stop,) if state.desired is Desired.PAUSED else ()
            return Decision((ev.GuestResumed(state.launch_number),), again)
        case Phase.RUNNING if state.desired is Desired.PAUSED:
            return Decision(effects=(stop,))  # ordered before the daemon died, not yet obeyed
        case _:
            return NOTHING


def _started(state: VmState, now_ms: int) -> Decision:
    deadline = latest_ttl_deadline(state, now_ms)
    timer = fx.ArmTimer(state.launch_number, ob.TimerKind.TTL, deadline)
    started = ev.GuestStarted(state.launch_number, deadline)
    return Decision((started,), (timer, *await_ready(state)))


def suspended(state: VmState, now_ms: int) -> Decision:
    """QEMU says SUSPEND."""
    if is_gated(state):
        return bypassed(state, now_ms)
    return _tell_asleep(state)


def woke(state: VmState) -> Decision:
    """QEMU says WAKEUP; a pause that was ordered meanwhile could not reach a guest that slept."""
    if state.current.suspended_since_ms is None:
        return NOTHING
    told = tell(state, ev.GuestWoke(state.launch_number))
    overdue = state.phase is Phase.RUNNING and state.desired is Desired.PAUSED
    stop = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.STOP)
    return Decision(told.events, (stop,) if overdue else ())


def repeat_reset(state: VmState, run_state: RunState) -> tuple[fx.Effect, ...]:
    """Return what a reset still needs of a guest that was found again."""
    if state.phase not in (Phase.RUNNING, Phase.PAUSED) or run_state in DOWN:
        return ()
    launch = state.current
    if launch.reset_ordered_ms is not None:  # and QEMU did not say RESET, or nobody heard it
        return (fx.ExecuteQmp(launch.number, fx.QmpCommand.RESET),)
    if launch.resets and launch.agent is not AgentStage.ABSENT:
        return (fx.ExecuteQmp(launch.number, fx.QmpCommand.FORBID_REBOOT),)
    return ()


def _found_suspended(state: VmState, now_ms: int) -> Decision:
    up = resumed(state, now_ms)
    asleep = _tell_asleep(state)
    return Decision((*up.events, *asleep.events), up.effects)


def _tell_asleep(state: VmState) -> Decision:
    if state.current.suspended_since_ms is not None:
        return NOTHING
    return tell(state, ev.GuestSuspended(state.launch_number))


def _found_frozen(state: VmState, run_state: RunState) -> Decision:
    cont = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.CONT)
    match state.phase:
        case Phase.LAUNCHING if run_state is RunState.PRELAUNCH:
            return let_run(state)
        case Phase.PAUSED if state.desired is Desired.RUNNING:
            return Decision(effects=(cont,))  # ordered before the daemon died, not yet obeyed
        case Phase.RUNNING:  # a reset while paused is PRELAUNCH too
            return Decision((ev.GuestPaused(state.launch_number),))
        case _:
            return NOTHING
