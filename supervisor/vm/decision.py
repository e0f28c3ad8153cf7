"""What a decision is made of, and the rungs of the stop ladder.

The ladder: ask the guest, ``quit``, SIGTERM, SIGKILL. Every rung has a deadline that is durable
before the rung is tried, so that a stop stays a stop whatever dies in between.
"""

import msgspec

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.observations import TimerKind
from supervisor.vm.spec import MINUTE_MS, SECOND_MS
from supervisor.vm.state import AgentStage, Phase, VmState

STEP_MS = {
    ev.StopStep.QUIT: 5 * SECOND_MS,  # QEMU flushes its disks first
    ev.StopStep.TERMINATE: 5 * SECOND_MS,  # the same, when QMP does not listen
    ev.StopStep.KILL: MINUTE_MS,  # only an uninterruptible sleep outlives this; ask again
}
"""What a rung is given before the next is taken; the first has the manifest's grace."""

GUEST_EVENTS_MAX = 10_000
"""Events of one launch that the guest alone can cause, some 2 MB: progress once a second for three
hours. A guest that talks for ever must not fill the log."""

NEXT_STEP = {
    ev.StopStep.ASK_GUEST: ev.StopStep.QUIT,
    ev.StopStep.QUIT: ev.StopStep.TERMINATE,
    ev.StopStep.TERMINATE: ev.StopStep.KILL,
    ev.StopStep.KILL: ev.StopStep.KILL,
}


class Decision(msgspec.Struct, frozen=True):
    """Events to make durable, in order; then, and only then, effects to start."""

    events: tuple[ev.Event, ...] = ()
    effects: tuple[fx.Effect, ...] = ()

    def after(self, *events: ev.Event) -> "Decision":
        """Return this decision with ``events`` before its own."""
        return Decision((*events, *self.events), self.effects)


NOTHING = Decision()


def order_stop(
    state: VmState,
    outcome: ev.Outcome,
    step: ev.StopStep,
    now_ms: int,
    grace_ms: int = 0,
    detail: str = "",
) -> Decision:
    """Begin the end of a VM with ``step``; ``grace_ms`` counts for the first rung only.

    ``detail`` is the evidence, where the outcome alone does not tell it.
    """
    deadline = now_ms + STEP_MS.get(step, grace_ms)
    event = ev.StopOrdered(state.launch_number, outcome, step, deadline, detail)
    return Decision((event,), take_step(state, step, deadline))


def escalate(state: VmState, step: ev.StopStep, now_ms: int) -> Decision:
    """Take a rung further down."""
    deadline = now_ms + STEP_MS[step]
    event = ev.StopEscalated(state.launch_number, step, deadline)
    return Decision((event,), take_step(state, step, deadline))


def end_guest(state: VmState, outcome: ev.Outcome, now_ms: int) -> Decision:
    """The guest will not run on: tell QEMU to quit, unless it was told already."""
    if state.ending is None:
        return order_stop(state, outcome, ev.StopStep.QUIT, now_ms)
    if state.ending.step is ev.StopStep.ASK_GUEST:
        return escalate(state, ev.StopStep.QUIT, now_ms)
    return NOTHING


def tell(state: VmState, event: ev.Event) -> Decision:
    """Record what a guest alone can cause, and nothing follows from, while it has not said much."""
    return NOTHING if state.current.guest_events >= GUEST_EVENTS_MAX else Decision((event,))


def take_step(state: VmState, step: ev.StopStep, deadline_ms: int) -> tuple[fx.Effect, ...]:
    """Return the effects of one rung; taking it again after a restart does no harm."""
    launch = state.launch_number
    timer = fx.ArmTimer(launch, TimerKind.STOP, deadline_ms)
    match step:
        case ev.StopStep.ASK_GUEST:
            powerdown = fx.ExecuteQmp(launch, fx.QmpCommand.POWERDOWN)
            if isinstance(state.manifest.agent, OwnAgent):
                return (powerdown, timer)  # the button is all that it can be asked with
            return (fx.StopComputation(launch), powerdown, timer)
        case ev.StopStep.QUIT:
            return (fx.ExecuteQmp(launch, fx.QmpCommand.QUIT), timer)
        case ev.StopStep.TERMINATE:
            return (fx.SignalProcess(launch, fx.ProcessSignal.TERM), timer)
        case ev.StopStep.KILL:
            return (fx.SignalProcess(launch, fx.ProcessSignal.KILL), timer)


def repeat_step(state: VmState) -> tuple[fx.Effect, ...]:
    """Return the effects of the rung that was taken last; none where no stop is under way."""
    if state.ending is None:
        return ()
    return take_step(state, state.ending.step, state.deadlines[TimerKind.STOP])


def gentlest_step(state: VmState) -> ev.StopStep:
    """Return the rung to begin with: a guest that cannot hear is not asked."""
    launch = state.current
    awake = state.phase is Phase.RUNNING and launch.suspended_since_ms is None
    hears = awake and launch.agent is not AgentStage.ABSENT
    return ev.StopStep.ASK_GUEST if hears else ev.StopStep.QUIT
