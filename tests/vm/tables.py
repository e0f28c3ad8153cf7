"""How the tables of this folder are written down and checked.

A table has one row a message, a row one entry a reaction: the states in which it happens, and the
reaction as ``events -> effects``, each with what tells it from its like in parentheses. In every
state that a row leaves out, the message leads to nothing.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

import msgspec

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, CommandDenied
from supervisor.vm.decide import OF_NEXT_LAUNCH, decide
from supervisor.vm.decision import Decision
from supervisor.vm.effects import Effect
from supervisor.vm.events import Event
from supervisor.vm.launching import BeforeLaunch
from supervisor.vm.observations import Observation, TimerKind
from supervisor.vm.state import ALIVE, VmState
from tests.vm.confidential_states import CONFIDENTIAL
from tests.vm.party_states import PARTIES
from tests.vm.states import LATER, STATES

Message = Command | Observation

ALL_STATES = STATES | CONFIDENTIAL | PARTIES


class Row(msgspec.Struct, frozen=True):
    """What one message leads to. ``launch`` and a due deadline are filled in for each state."""

    message: Message
    reactions: Mapping[str, str] = {}

    def __str__(self) -> str:
        fields = (_word(getattr(self.message, name)) for name in self.message.__struct_fields__)
        return f"{type(self.message).__name__}({', '.join(word for word in fields if word)})"

    def expected(self, state: str) -> str:
        """Return the reaction that the row promises for a state."""
        return self._by_state().get(state, "")

    def _by_state(self) -> dict[str, str]:
        by_state: dict[str, str] = {}
        for states, reaction in self.reactions.items():
            for state in _ungrouped(states):
                assert state in ALL_STATES, f"{self}: there is no state {state!r}"
                assert state not in by_state, f"{self}: two reactions in {state!r}"
                by_state[state] = reaction
        return by_state


def _ungrouped(states: str) -> Iterator[str]:
    for state in states.split():
        yield from GROUPS.get(state, (state,))


GROUPS = {
    "alive": tuple(name for name, state in STATES.items() if state.has_process),
    "up": tuple(n for n, state in STATES.items() if state.has_process and not state.ending),
    "running": ("booting", "computing", "sleeping", "resetting"),
    "preparing": ("defined", "queued", "again", "started"),
    "ended": ("stopped", "failed", "deleting"),
    "every": tuple(name for name, state in CONFIDENTIAL.items() if state.has_process),
}
"""In a row: states that a message often finds alike."""

DUE = 0
"""In a row: the deadline of this kind that the state has."""


def reaction(state: VmState, message: Message) -> str:
    """Return what ``message`` leads to, in the words of the tables."""
    try:
        return render(decide(state, addressed(state, message), LATER))
    except CommandDenied as denied:
        return f"denied: {denied.reason.value}"


def render(decision: Decision) -> str:
    """Return a decision in the words of the tables."""
    events = ", ".join(map(_phrase, decision.events))
    effects = ", ".join(map(_phrase, decision.effects))
    return f"{events} -> {effects}".strip() if effects else events


def addressed(state: VmState, message: Message) -> Message:
    """Return an observation as it would be of the state's current launch."""
    match message:
        case _ if isinstance(message, BeforeLaunch):
            return msgspec.structs.replace(message, launch=state.next_launch)
        case ob.TimerFired(kind=kind, deadline_ms=deadline):
            due = state.deadlines.get(kind, LATER) if deadline == DUE else deadline
            to_come = kind in OF_NEXT_LAUNCH and state.phase not in ALIVE
            launch = state.next_launch if to_come else state.launch_number
            return ob.TimerFired(launch, kind, due)
        case _ if isinstance(message, Observation):
            return msgspec.structs.replace(message, launch=state.launch_number)
        case _:
            return message


def _phrase(part: Event | Effect) -> str:
    name = type(part).__name__
    match part:
        case ev.StopOrdered(outcome=outcome, step=step):
            return f"{name}({outcome.value}, {step.value})"
        case ev.StopEscalated(step=step):
            return f"{name}({step.value})"
        case ev.VmStopped(outcome=outcome) | ev.VmFailed(outcome=outcome):
            return f"{name}({outcome.value})"
        case ev.LaunchEnded(outcome=outcome):
            return f"{name}({outcome.value})"
        case fx.ExecuteQmp(command=command):
            return f"{name}({command.value})"
        case fx.SignalProcess(signal=signal):
            return f"{name}({signal.value})"
        case ev.LaunchApproved(verified_by=verified_by):
            return f"{name}({verified_by.value})"
        case fx.ArmTimer(kind=kind):
            return f"{name}({kind.value})"
        case _:
            return name


def _word(value: object) -> str:
    match value:
        case TimerKind() | Enum():
            return str(value.value)
        case bool() | str():
            return str(value)
        case _:
            return ""
