"""What QEMU says about the guest over QMP."""

from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.contact import lose_contact
from supervisor.vm.decision import NOTHING, Decision, escalate, order_stop, repeat_step
from supervisor.vm.state import Desired, Phase, VmState

GuestObservation = (
    ob.QmpReady
    | ob.QmpLost
    | ob.QmpCommandFailed
    | ob.ObservationsDropped
    | ob.RunStateObserved
    | ob.GuestStopped
    | ob.GuestResumed
    | ob.GuestWasReset
    | ob.GuestShutDown
    | ob.GuestPanicked
    | ob.GuestDiskFailed
)

SHUTDOWN_OUTCOMES = {
    ob.ShutdownCause.GUEST_SHUTDOWN: ev.Outcome.GUEST_POWERED_OFF,
    ob.ShutdownCause.GUEST_RESET: ev.Outcome.GUEST_REBOOTED,
    ob.ShutdownCause.GUEST_PANIC: ev.Outcome.GUEST_PANICKED,
    ob.ShutdownCause.HOST_QUIT: ev.Outcome.STOPPED_BY_HOST,
    ob.ShutdownCause.HOST_SIGNAL: ev.Outcome.STOPPED_BY_HOST,
    ob.ShutdownCause.UNKNOWN: ev.Outcome.GUEST_POWERED_OFF,
}
"""The outcome of a shutdown that nobody here ordered."""


RESETS_MAX = 1_000
"""Resets of one launch; a guest that resets for ever must not fill the log."""


def decide_guest(state: VmState, seen: GuestObservation, now_ms: int) -> Decision:
    """Return what follows from a word of QEMU about a launch whose process lives."""
    match seen:
        case ob.QmpReady():
            return _ready(state, seen)
        case ob.QmpLost():
            return lose_contact(state, seen.detail, now_ms)
        case ob.QmpCommandFailed():
            return _command_failed(state, seen, now_ms)
        case ob.ObservationsDropped():
            gap = ev.ObservationGap(seen.launch, state.seen_ms, now_ms, seen.count)
            return Decision((gap,), (fx.QueryRunState(seen.launch),))
        case ob.RunStateObserved():
            return fold_run_state(state, seen.run_state, now_ms)
        case ob.GuestStopped():
            return _stopped(state)
        case ob.GuestResumed():
            return _resumed(state, now_ms)
        case ob.GuestWasReset():
            return _was_reset(state, seen, now_ms)
        case ob.GuestShutDown():
            event = ev.GuestShutDown(seen.launch, seen.cause)
            return end_guest(state, SHUTDOWN_OUTCOMES[seen.cause], now_ms).after(event)
        case ob.GuestPanicked():
            panicked = ev.GuestPanicked(seen.launch)
            return end_guest(state, ev.Outcome.GUEST_PANICKED, now_ms).after(panicked)
        case ob.GuestDiskFailed():
            if state.current.disk_failure:
                return NOTHING
            return Decision((ev.GuestDiskFailed(seen.launch, seen.disk, seen.detail),))
    assert_never(seen)


def end_guest(state: VmState, outcome: ev.Outcome, now_ms: int) -> Decision:
    """The guest will not run on: tell QEMU to quit, unless it was told already."""
    if state.ending is None:
        return order_stop(state, outcome, ev.StopStep.QUIT, now_ms)
    if state.ending.step is ev.StopStep.ASK_GUEST:
        return escalate(state, ev.StopStep.QUIT, now_ms)
    return NOTHING


def fold_run_state(state: VmState, run_state: ob.RunState, now_ms: int) -> Decision:
    """Catch up with what ``query-status`` says after events may have been missed."""
    if state.ending:
        down = run_state in (ob.RunState.SHUTDOWN, ob.RunState.PANICKED, ob.RunState.ERROR)
        if down and state.ending.step is ev.StopStep.ASK_GUEST:
            return escalate(state, ev.StopStep.QUIT, now_ms)
        return Decision(effects=repeat_step(state))
    match run_state:
        case ob.RunState.RUNNING:
            return _resumed(state, now_ms)
        case ob.RunState.PRELAUNCH | ob.RunState.PAUSED:  # a reset while paused is PRELAUNCH too
            return _found_frozen(state, run_state)
        case ob.RunState.SHUTDOWN:
            return end_guest(state, ev.Outcome.GUEST_POWERED_OFF, now_ms)
        case ob.RunState.PANICKED:
            return end_guest(state, ev.Outcome.GUEST_PANICKED, now_ms)
        case ob.RunState.ERROR:
            return end_guest(state, ev.Outcome.QEMU_CRASHED, now_ms)


def _ready(state: VmState, seen: ob.QmpReady) -> Decision:
    ready = ev.QmpReady(seen.launch, seen.qemu_version)
    if state.phase is not Phase.LAUNCHING:
        return Decision((ready,))
    return Decision((ready,), (fx.ExecuteQmp(seen.launch, fx.QmpCommand.CONT),))


def _command_failed(state: VmState, seen: ob.QmpCommandFailed, now_ms: int) -> Decision:
    failed = ev.QmpCommandFailed(seen.launch, seen.command, seen.detail)
    quit_failed = seen.command == fx.QmpCommand.QUIT.value
    if quit_failed and state.ending and state.ending.step is ev.StopStep.QUIT:
        return escalate(state, ev.StopStep.TERMINATE, now_ms).after(failed)
    if state.phase is Phase.LAUNCHING and seen.command == fx.QmpCommand.CONT.value:
        outcome = ev.Outcome.QEMU_FAILED_TO_START
        return order_stop(state, outcome, ev.StopStep.QUIT, now_ms).after(failed)
    return Decision((failed,))


def _found_frozen(state: VmState, run_state: ob.RunState) -> Decision:
    cont = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.CONT)
    match state.phase:
        case Phase.LAUNCHING if run_state is ob.RunState.PRELAUNCH:
            return Decision(effects=(cont,))
        case Phase.PAUSED if state.desired is Desired.RUNNING:
            return Decision(effects=(cont,))  # ordered before the daemon died, not yet obeyed
        case _:
            return _stopped(state)


def _stopped(state: VmState) -> Decision:
    if state.phase is not Phase.RUNNING:
        return NOTHING
    return Decision((ev.GuestPaused(state.launch_number),))


def _resumed(state: VmState, now_ms: int) -> Decision:
    stop = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.STOP)
    match state.phase:
        case Phase.LAUNCHING:
            deadline = now_ms + state.manifest.limits.ttl_ms
            timer = fx.ArmTimer(state.launch_number, ob.TimerKind.TTL, deadline)
            return Decision((ev.GuestStarted(state.launch_number, deadline),), (timer,))
        case Phase.PAUSED:
            again = (stop,) if state.desired is Desired.PAUSED else ()
            return Decision((ev.GuestResumed(state.launch_number),), again)
        case Phase.RUNNING if state.desired is Desired.PAUSED:
            return Decision(effects=(stop,))  # ordered before the daemon died, not yet obeyed
        case _:
            return NOTHING


def _was_reset(state: VmState, seen: ob.GuestWasReset, now_ms: int) -> Decision:
    if state.phase not in (Phase.RUNNING, Phase.PAUSED):
        return NOTHING
    if state.current.resets >= RESETS_MAX:
        return end_guest(state, ev.Outcome.GUEST_REBOOTED, now_ms)
    armed = state.deadlines.get(ob.TimerKind.LAUNCH)
    if seen.by_guest and armed is not None:
        # The firmware's own second reset; it gets no more time than the first that was ordered.
        return Decision((ev.GuestReset(seen.launch, seen.by_guest, armed),))
    deadline = now_ms + state.manifest.limits.launch_deadline_ms
    timer = fx.ArmTimer(seen.launch, ob.TimerKind.LAUNCH, deadline)
    return Decision((ev.GuestReset(seen.launch, seen.by_guest, deadline),), (timer,))
