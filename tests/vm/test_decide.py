"""Every state x every message, from the tables, and that the tables leave nothing out."""

from enum import Enum
from typing import get_args

import msgspec
import pytest

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, Reset, Stop
from supervisor.vm.decide import decide
from supervisor.vm.decision import Decision
from supervisor.vm.observations import Observation
from supervisor.vm.state import Phase
from tests.vm.confidential_states import CONFIDENTIAL
from tests.vm.party_states import PARTIES
from tests.vm.states import DIRECTORY, IMAGES, LATER, MANIFEST, NOW, STATES, after
from tests.vm.table_of_agent import AGENT_OBSERVATIONS
from tests.vm.table_of_attestation import ATTESTATION
from tests.vm.table_of_commands import COMMANDS
from tests.vm.table_of_guest import GUEST_OBSERVATIONS
from tests.vm.table_of_inputs import INPUTS
from tests.vm.table_of_process import PROCESS_OBSERVATIONS
from tests.vm.tables import Row, reaction

TABLE = (*COMMANDS, *PROCESS_OBSERVATIONS, *GUEST_OBSERVATIONS, *AGENT_OBSERVATIONS)

OBSERVED = [row.message for row in TABLE if isinstance(row.message, Observation)]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_every_message_leads_to_what_its_table_says(row: Row, state: str) -> None:
    assert reaction(STATES[state], row.message) == row.expected(state)


@pytest.mark.parametrize("state", CONFIDENTIAL)
@pytest.mark.parametrize("row", ATTESTATION, ids=str)
def test_every_message_leads_a_confidential_launch_to_what_its_table_says(
    row: Row, state: str
) -> None:
    assert reaction(CONFIDENTIAL[state], row.message) == row.expected(state)


@pytest.mark.parametrize("state", PARTIES)
@pytest.mark.parametrize("row", INPUTS, ids=str)
def test_every_message_leads_a_computation_of_several_parties_to_what_its_table_says(
    row: Row, state: str
) -> None:
    assert reaction(PARTIES[state], row.message) == row.expected(state)


def test_every_message_has_a_row() -> None:
    assert {type(row.message) for row in TABLE} == {*get_args(Command), *get_args(Observation)}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("run_state", ob.RunState),
        ("cause", ob.ShutdownCause),
        ("kind", ob.TimerKind),
    ],
)
def test_every_variant_of_an_observation_has_a_row(field: str, values: type[Enum]) -> None:
    written = {getattr(row.message, field, None) for row in TABLE} - {None}
    assert written == set(values)


def test_every_phase_has_a_state() -> None:
    assert {state.phase for state in (STATES | CONFIDENTIAL | PARTIES).values()} == set(Phase)


@pytest.mark.fault("stale-event")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("observation", OBSERVED, ids=lambda seen: type(seen).__name__)
def test_what_another_launch_says_is_recorded_and_never_believed(
    observation: Observation, state: str
) -> None:
    vm = STATES[state]
    for stranger in (vm.launch_number - 1, vm.launch_number + 2):
        seen = msgspec.structs.replace(observation, launch=stranger)
        decision = decide(vm, seen, LATER)
        told = tuple(type(event) for event in decision.events)
        if isinstance(seen, ob.LaunchPrepared) and stranger > vm.launch_number:
            continue  # nobody waits for these files: see the next test
        assert decision.effects == ()
        assert told == (() if vm.phase is Phase.DELETED else (ev.ObservationIgnored,))
        untouched = msgspec.structs.replace(vm, version=vm.version + len(told), seen_ms=vm.seen_ms)
        changed = after(vm, seen, now_ms=LATER)
        assert msgspec.structs.replace(changed, seen_ms=vm.seen_ms) == untouched


@pytest.mark.parametrize("state", STATES)
def test_files_that_nobody_waits_for_are_cleared_away(state: str) -> None:
    vm = STATES[state]
    unwanted = ob.LaunchPrepared(vm.next_launch + 1, DIRECTORY, IMAGES, "tcg")
    nothing = vm.phase is Phase.DELETED
    cleared = () if nothing else (fx.ReleaseLaunch(vm.next_launch + 1, DIRECTORY),)
    assert decide(vm, unwanted, LATER) == Decision(effects=cleared)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", COMMANDS, ids=str)
def test_a_command_that_is_obeyed_writes_nothing_when_it_is_repeated(row: Row, state: str) -> None:
    vm = STATES[state]
    if row.expected(state).startswith("denied") or isinstance(row.message, Reset):
        return  # each press of the reset button counts
    again = reaction(after(vm, row.message), row.message)
    assert again.startswith(("->", "denied: vm-unknown")) or again == ""


def test_a_stop_gives_the_guest_the_grace_it_was_asked_to_give() -> None:
    computing = STATES["computing"]
    default = after(computing, Stop()).deadlines
    chosen = after(computing, Stop(grace_ms=500)).deadlines
    assert default == {ob.TimerKind.STOP: NOW + MANIFEST.limits.stop_grace_ms}
    assert chosen == {ob.TimerKind.STOP: NOW + 500}
