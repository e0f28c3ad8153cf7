"""What QEMU says about the guest over QMP."""

from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.attestation import bypassed, is_gated, let_run
from supervisor.vm.contact import lose_contact
from supervisor.vm.decision import (
    GUEST_EVENTS_MAX,
    NOTHING,
    Decision,
    end_guest,
    escalate,
    order_stop,
    tell,
)
from supervisor.vm.own_agent import await_ready_again
from supervisor.vm.run_state import fold_run_state, resumed, stopped, suspended, woke
from supervisor.vm.state import Phase, VmState

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
    | ob.GuestHung
    | ob.GuestSuspended
    | ob.GuestWoke
    | ob.GuestCrashLoaded
    | ob.MemoryFailed
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


REFUSAL_OUTCOMES = {
    (Phase.LAUNCHING, fx.QmpCommand.CONT.value): ev.Outcome.QEMU_FAILED_TO_START,
    (Phase.LAUNCHING, fx.MEASURE): ev.Outcome.ATTESTATION_FAILED,
    (Phase.AWAITING_VERIFICATION, fx.INJECT): ev.Outcome.ATTESTATION_FAILED,
}
"""How a launch ends that cannot go on, because QEMU refused a command in this phase."""


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
            return Decision(tell(state, gap).events, (fx.QueryRunState(seen.launch),))
        case ob.RunStateObserved():
            return fold_run_state(state, seen.run_state, now_ms)
        case ob.GuestStopped():
            return stopped(state)
        case ob.GuestResumed():
            return resumed(state, now_ms)
        case ob.GuestWasReset():
            return _was_reset(state, seen, now_ms)
        case ob.GuestSuspended():
            return suspended(state, now_ms)
        case ob.GuestWoke():
            return woke(state)
        case ob.GuestShutDown() | ob.GuestPanicked() | ob.GuestHung():
            return _went_down(state, seen, now_ms)
        case ob.GuestDiskFailed() | ob.GuestCrashLoaded() | ob.MemoryFailed():
            return _told(state, seen)
    assert_never(seen)


def _went_down(
    state: VmState, seen: ob.GuestShutDown | ob.GuestPanicked | ob.GuestHung, now_ms: int
) -> Decision:
    event: ev.Event
    match seen:
        case ob.GuestShutDown(cause=cause):
            event, outcome = ev.GuestShutDown(seen.launch, cause), SHUTDOWN_OUTCOMES[cause]
        case ob.GuestPanicked():
            event, outcome = ev.GuestPanicked(seen.launch), ev.Outcome.GUEST_PANICKED
        case ob.GuestHung():
            event, outcome = ev.GuestHung(seen.launch), ev.Outcome.GUEST_HUNG
    if is_gated(state) and outcome is not ev.Outcome.STOPPED_BY_HOST:
        return bypassed(state, now_ms).after(event)
    ending = end_guest(state, outcome, now_ms)
    return ending.after(event) if ending.events else tell(state, event)


def _told(
    state: VmState, seen: ob.GuestDiskFailed | ob.GuestCrashLoaded | ob.MemoryFailed
) -> Decision:
    match seen:
        case ob.GuestDiskFailed() if state.current.disk_failure:
            return NOTHING
        case ob.GuestDiskFailed():
            return Decision((ev.GuestDiskFailed(seen.launch, seen.disk, seen.detail),))
        case ob.GuestCrashLoaded():
            return tell(state, ev.GuestCrashLoaded(seen.launch))
        case ob.MemoryFailed():
            return tell(state, ev.MemoryFailed(seen.launch, seen.detail))


def _ready(state: VmState, seen: ob.QmpReady) -> Decision:
    ready = ev.QmpReady(seen.launch, seen.qemu_version, seen.containment)
    if state.phase is not Phase.LAUNCHING:
        return Decision((ready,))
    return let_run(state).after(ready)


def _command_failed(state: VmState, seen: ob.QmpCommandFailed, now_ms: int) -> Decision:
    failed = ev.QmpCommandFailed(seen.launch, seen.command, seen.detail)
    quit_failed = seen.command == fx.QmpCommand.QUIT.value
    if quit_failed and state.ending and state.ending.step is ev.StopStep.QUIT:
        return escalate(state, ev.StopStep.TERMINATE, now_ms).after(failed)
    refused = seen.failure is ob.QmpFailure.REFUSED  # else it is asked again, once QEMU is back
    outcome = REFUSAL_OUTCOMES.get((state.phase, seen.command))
    late = seen.command == fx.MEASURE and not is_gated(state)
    if refused and outcome is not None and not late:
        detail = "" if seen.command == fx.QmpCommand.CONT.value else seen.detail
        quits = order_stop(state, outcome, ev.StopStep.QUIT, now_ms, detail=detail)
        return quits.after(failed)
    return tell(state, failed)


def _was_reset(state: VmState, seen: ob.GuestWasReset, now_ms: int) -> Decision:
    if state.phase not in (Phase.RUNNING, Phase.PAUSED):
        return NOTHING
    if seen.by_guest and state.current.guest_events >= GUEST_EVENTS_MAX:
        return end_guest(state, ev.Outcome.GUEST_REBOOTED, now_ms)
    armed = state.deadlines.get(ob.TimerKind.LAUNCH)
    if seen.by_guest and armed is not None:
        # The firmware's own second reset; it gets no more time than the first that was ordered.
        reset = ev.GuestReset(seen.launch, seen.by_guest, armed)
        return Decision((reset,), await_ready_again(state))
    deadline = now_ms + state.manifest.limits.launch_deadline_ms
    timer = fx.ArmTimer(seen.launch, ob.TimerKind.LAUNCH, deadline)
    reset = ev.GuestReset(seen.launch, seen.by_guest, deadline)
    return Decision((reset,), (timer, *await_ready_again(state)))
