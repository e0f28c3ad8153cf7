"""Daemons with one rule broken: each must be caught, or the simulation is blind.

A mutant is made anew for each seed, at one of three seams: the core that the actors call, the
committer below the log, and the reservations above the hosts.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from eventlog.journal import Part
from supervisor.actor import CORE, Core
from supervisor.admission.line import Line
from supervisor.admission.reservations import Reservations
from supervisor.config import Capacity
from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, Kill, Stop
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.effects import Effect
from supervisor.vm.observations import Observation
from supervisor.vm.state import Desired, Phase, VmState
from tests.simulation.capacity import CAPACITY
from tests.simulation.disk import SimulatedCommitter

Message = Command | Observation
Decide = Callable[[VmState, Message, int], Decision]
IsFree = Callable[[int], bool]


def _sound() -> Core:
    return CORE


class Mutant(msgspec.Struct, frozen=True):
    """What is broken; the default breaks nothing."""

    name: str
    core: Callable[[], Core] = _sound
    committer: type[SimulatedCommitter] = SimulatedCommitter
    reservations: Callable[[Capacity, IsFree], Reservations] = Reservations
    capacity: Capacity = CAPACITY


NONE = Mutant("none")


def _deciding(change: Callable[[Decide, VmState, Message, int], Decision]) -> Callable[[], Core]:
    """Return the core with another ``decide``, which is given the sound one."""

    def decide(state: VmState, message: Message, now_ms: int) -> Decision:
        return change(CORE.decide, state, message, now_ms)

    return lambda: Core(decide, CORE.recover)


def _recovering(change: Callable[[VmState], tuple[Effect, ...]]) -> Callable[[], Core]:
    return lambda: Core(CORE.decide, change)


def _changed(value: Any, **changes: object) -> Any:
    return msgspec.structs.replace(value, **changes)


def _honour_stale_timers(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    if isinstance(message, ob.TimerFired) and message.kind in state.deadlines:
        armed = state.deadlines[message.kind]
        launch = message.launch if message.kind is ob.TimerKind.BACKOFF else state.launch_number
        message = _changed(message, launch=launch, deadline_ms=armed)
    return decide(state, message, now_ms)


def _believe_old_launches(
    decide: Decide, state: VmState, message: Message, now_ms: int
) -> Decision:
    if isinstance(message, Observation) and message.launch < state.launch_number:
        message = _changed(message, launch=state.launch_number)
    return decide(state, message, now_ms)


def _spawn_twice(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    decision = decide(state, message, now_ms)
    spawned = tuple(each for each in decision.effects if isinstance(each, fx.SpawnQemu))
    return Decision(decision.events, (*decision.effects, *spawned))


def _spawn_unrecorded(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    decision = decide(state, message, now_ms)
    return Decision(effects=decision.effects) if _intends(decision) else decision


def _intends(decision: Decision) -> bool:
    return any(isinstance(event, ev.LaunchIntended) for event in decision.events)


def _lose_stops(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    if isinstance(message, Stop | Kill) and state.phase is Phase.RUNNING:
        return NOTHING
    return decide(state, message, now_ms)


def _forget_orders(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    if isinstance(message, ob.ProcessExited | ob.ResultCollected | ob.ResultRefused):
        state = _changed(state, desired=Desired.RUNNING)
    return decide(state, message, now_ms)


def _forget_restarts(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    return decide(_changed(state, restarts_ms=()), message, now_ms)


def _take_silence_for_death(
    decide: Decide, state: VmState, message: Message, now_ms: int
) -> Decision:
    if isinstance(message, ob.ProcessSilent):
        message = ob.ProcessExited(message.launch, ob.ExitEvidence())
    return decide(state, message, now_ms)


def _read_results_early(decide: Decide, state: VmState, message: Message, now_ms: int) -> Decision:
    decision = decide(state, message, now_ms)
    if not isinstance(message, ob.AgentFinished) or not decision.events:
        return decision
    collect = fx.CollectResult(message.launch, state.current.directory, 1)
    return Decision(decision.events, (*decision.effects, collect))


def _rerun_effects() -> Core:
    """Spawn again, while the log is replayed, what was spawned before."""
    spawned: dict[str, fx.SpawnQemu] = {}

    def decide(state: VmState, message: Message, now_ms: int) -> Decision:
        decision = CORE.decide(state, message, now_ms)
        for effect in decision.effects:
            if isinstance(effect, fx.SpawnQemu):
                spawned[state.vm_id] = effect
        return decision

    def recover(state: VmState) -> tuple[Effect, ...]:
        again = spawned.get(state.vm_id)
        if again is None or again.launch != state.launch_number or not state.has_process:
            return CORE.recover(state)
        return (*CORE.recover(state), again)

    return Core(decide, recover)


def _drop_timers(state: VmState) -> tuple[Effect, ...]:
    return tuple(each for each in CORE.recover(state) if not isinstance(each, fx.ArmTimer))


def _ask_nothing(state: VmState) -> tuple[Effect, ...]:
    return tuple(each for each in CORE.recover(state) if not isinstance(each, fx.Reattach))


class _WordFirst(SimulatedCommitter):
    """Says that events are durable, and writes them then."""

    async def _commit(self, group: list[Part]) -> bool:
        self._on_durable(len(group))
        sound, self._on_durable = self._on_durable, lambda parts: None
        try:
            return await super()._commit(group)
        finally:
            self._on_durable = sound


class _PortsTwice(Reservations):
    """Forgets which ports it gave away, and does not look."""

    def __init__(self, capacity: Capacity, is_free: IsFree) -> None:
        one = _changed(capacity.forward_ports, high=capacity.forward_ports.low + 1)
        super().__init__(_changed(capacity, forward_ports=one), lambda port: True)

    def _held_ports(self) -> set[int]:
        return set()


class _LastComeFirst(Line):
    def pop(self) -> str:
        vm_id = self._places[-1].vm_id
        self.leave(vm_id)
        return vm_id


class _QueueOvertaken(Reservations):
    """Lets the last of the line go first."""

    def __init__(self, capacity: Capacity, is_free: IsFree) -> None:
        super().__init__(capacity, is_free)
        self._slots.line = _LastComeFirst()


def _one_too_many(capacity: Capacity, is_free: IsFree) -> Reservations:
    return Reservations(_changed(capacity, max_running=capacity.max_running + 1), is_free)


MUTANTS = (
    Mutant("a stale timer is honoured", _deciding(_honour_stale_timers)),
    Mutant("a launch is spawned twice", _deciding(_spawn_twice)),
    Mutant("a launch is spawned before its intent", _deciding(_spawn_unrecorded)),
    Mutant("a stop is answered and lost", _deciding(_lose_stops)),
    Mutant("an order is forgotten when QEMU exits", _deciding(_forget_orders)),
    Mutant("an observation of an old launch is believed", _deciding(_believe_old_launches)),
    Mutant("an effect is run again on replay", _rerun_effects),
    Mutant("silence is taken for death", _deciding(_take_silence_for_death)),
    Mutant("restarts are counted anew each time", _deciding(_forget_restarts)),
    Mutant("a result is read while QEMU lives", _deciding(_read_results_early)),
    Mutant("deadlines live in memory only", _recovering(_drop_timers)),
    Mutant("nothing is asked after a restart", _recovering(_ask_nothing)),
    Mutant("answered before it is durable", committer=_WordFirst),
    Mutant("a port is given twice", reservations=_PortsTwice),
    Mutant("the queue is overtaken", reservations=_QueueOvertaken),
    Mutant("one launch more than there are slots", reservations=_one_too_many),
    Mutant("one VM more than the quotas have", capacity=_changed(CAPACITY, max_vms=6)),
)
