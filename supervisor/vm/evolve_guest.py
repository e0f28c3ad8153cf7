"""The fold of what was ordered of a guest that runs, and of what it did by itself."""

from supervisor.vm import events as ev
from supervisor.vm.changed import changed, with_guest_event, with_launch
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import AgentStage, Desired, Phase, VmState

GuestEvent = (
    ev.PauseOrdered
    | ev.ResumeOrdered
    | ev.ResetOrdered
    | ev.GuestPaused
    | ev.GuestResumed
    | ev.GuestReset
    | ev.GuestPanicked
    | ev.GuestDiskFailed
    | ev.GuestShutDown
    | ev.GuestHung
    | ev.GuestSuspended
    | ev.GuestWoke
    | ev.GuestCrashLoaded
    | ev.MemoryFailed
)


def evolve_guest(state: VmState, event: GuestEvent) -> VmState:
    """Return the state after one more event of these."""
    match event:
        case ev.PauseOrdered():
            return changed(state, desired=Desired.PAUSED)
        case ev.ResumeOrdered():
            return changed(state, desired=Desired.RUNNING)
        case ev.ResetOrdered():
            return with_launch(state, reset_ordered_ms=state.seen_ms)
        case ev.GuestPaused():
            return changed(state, phase=Phase.PAUSED)
        case ev.GuestResumed():
            return changed(state, phase=Phase.RUNNING)
        case ev.GuestReset():
            return _reset(state, event)
        case ev.GuestDiskFailed():
            return with_launch(with_guest_event(state), disk_failure=event.detail)
        case ev.GuestSuspended():
            return with_launch(with_guest_event(state), suspended_since_ms=state.seen_ms)
        case ev.GuestWoke():
            return with_launch(with_guest_event(state), suspended_since_ms=None)
        case _:
            return with_guest_event(state)


def _reset(state: VmState, event: ev.GuestReset) -> VmState:
    launch = state.current
    again = with_launch(
        state,
        agent=AgentStage.ABSENT,
        finished=None,
        resets=launch.resets + 1,
        guest_events=launch.guest_events + 1 if event.by_guest else 0,
        reset_ordered_ms=None,
        suspended_since_ms=None,
    )
    deadlines = again.deadlines | {TimerKind.LAUNCH: event.deadline_ms}
    return changed(again, deadlines=deadlines, progress=None)
