"""The core as an actor calls it, with somebody watching: counts what was met, checks each step."""

from supervisor.actor import Core
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, CommandDenied
from supervisor.vm.decision import Decision
from supervisor.vm.effects import Effect
from supervisor.vm.observations import Observation
from supervisor.vm.state import Phase, VmState
from tests.simulation.universe import Universe
from tests.simulation.violation import Violation

Message = Command | Observation


class Recover:
    """In the table of what was met: a daemon that starts again."""


class Watch:
    """Passes everything on to a core."""

    def __init__(self, universe: Universe, core: Core) -> None:
        self._universe = universe
        self._inner = core

    def core(self) -> Core:
        """Return what actors are to call."""
        return Core(self._decide, self._recover)

    def _decide(self, state: VmState, message: Message, now_ms: int) -> Decision:
        universe = self._universe
        universe.steps += 1
        if isinstance(message, ob.Reserved):
            self._check_turn(state)
        try:
            decision = self._inner.decide(state, message, now_ms)
        except CommandDenied as denied:
            universe.note(f"{_place(state)} <- {message} denied: {denied}")
            universe.met[state.phase, type(message)] += 1
            raise
        except Exception as error:
            raise Violation("the core never fails", f"{_place(state)} <- {message}") from error
        if universe.traced:
            universe.note(f"{_place(state)} <- {message} -> {_told(decision)}")
        met = universe.ignored if _is_ignored(decision) else universe.met
        met[state.phase, type(message)] += 1
        if decision.events:
            if isinstance(message, ob.TimerFired):
                _check_time(state, message, decision, now_ms)
            self._check(state, decision)
        return decision

    def _recover(self, state: VmState) -> tuple[Effect, ...]:
        universe = self._universe
        universe.steps += 1
        universe.met[state.phase, Recover] += 1
        effects = self._inner.recover(state)
        if universe.traced:
            universe.note(f"{_place(state)} recovers: {_names(effects)}")
        return effects

    def _check_turn(self, state: VmState) -> None:
        """Who stands in the line came after whoever has a turn."""
        fleet = self._universe.fleet
        if fleet is None or state.phase is not Phase.QUEUED:
            return
        for other in fleet.registry.states():
            waits = fleet.reservations.queue_position(other.vm_id) is not None
            if waits and other.phase is Phase.QUEUED and _ticket(other) < _ticket(state):
                what = f"{state.vm_id} before {other.vm_id}"
                raise Violation("who came first launches first", what)

    def _check(self, state: VmState, decision: Decision) -> None:
        current = self._universe.machine(state.vm_id).current
        for event in decision.events:
            if isinstance(event, ev.VmStopped | ev.VmFailed) and current is not None:
                what = f"{_place(state)}: launch {current.launch} lives"
                raise Violation("what has ended has no process", what)
            if isinstance(event, ev.LaunchIntended | ev.GuestStarted | ev.LaunchEnded):
                self._universe.ledger.check_start(state)
            if isinstance(event, ev.LaunchIntended):
                self._universe.machine(state.vm_id).ports = event.host_ports
            if isinstance(event, ev.StartOrdered):
                self._universe.ledger.start_ordered(state)


def _place(state: VmState) -> str:
    return f"{state.vm_id} v{state.version} {state.phase.value}"


def _check_time(state: VmState, fired: ob.TimerFired, decision: Decision, now_ms: int) -> None:
    """What a timer leads to does not come before the deadline that is in the log."""
    if _is_ignored(decision):
        return
    deadline = state.deadlines.get(fired.kind)
    if deadline is None or now_ms < deadline:
        what = f"{_place(state)}: {fired} at {now_ms}, and the deadline is {deadline}"
        raise Violation("a deadline is what the log says", what)


def _is_ignored(decision: Decision) -> bool:
    return bool(decision.events) and isinstance(decision.events[0], ev.ObservationIgnored)


def _ticket(state: VmState) -> int:
    assert state.ticket is not None
    return state.ticket


def _told(decision: Decision) -> str:
    return f"{_names(decision.events)} / {_names(decision.effects)}"


def _names(things: tuple[object, ...]) -> str:
    return " ".join(type(each).__name__ for each in things) or "nothing"
