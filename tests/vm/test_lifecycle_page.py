"""The picture of the life cycle in the docs: no arrow too many, none too few, and up to date."""

import runpy
import subprocess
import sys
from collections import defaultdict

import msgspec

from supervisor.vm import observations as ob
from supervisor.vm.commands import CommandDenied, Delete
from supervisor.vm.decide import decide
from supervisor.vm.evolve import evolve
from supervisor.vm.spec import RestartPolicy
from supervisor.vm.state import TRANSITIONS, Phase, VmState
from tests.source_tree import ROOT
from tests.vm.confidential_states import CONFIDENTIAL
from tests.vm.party_states import PARTIES
from tests.vm.states import LATER, RESTARTED, STATES, STORIES, after, defined
from tests.vm.table_of_attestation import ATTESTATION
from tests.vm.table_of_inputs import INPUTS
from tests.vm.tables import Message, addressed
from tests.vm.test_decide import TABLE

TOOL = ROOT / "tools" / "draw_lifecycle"

Edges = dict[tuple[Phase, Phase], set[str]]


def taken() -> Edges:
    """Return every transition that a row of the tables makes, and the events that make it."""
    edges: Edges = defaultdict(set)
    restarted = (after(defined(RESTARTED), *story) for story in STORIES.values())
    for state in (*STATES.values(), *restarted):
        for row in TABLE:
            _follow(state, row.message, edges)
    for state in CONFIDENTIAL.values():
        unsealed = msgspec.structs.replace(state.manifest, restart=RestartPolicy())
        for vm in (state, msgspec.structs.replace(state, manifest=unsealed)):
            for row in (*TABLE, *ATTESTATION):
                _follow(vm, row.message, edges)
    for state in PARTIES.values():
        for row in (*TABLE, *INPUTS):
            _follow(state, row.message, edges)
    _follow(after(STATES["failed"], Delete()), ob.FilesRemoved(1), edges)
    return edges


def _follow(state: VmState, message: Message, edges: Edges) -> None:
    try:
        events = decide(state, addressed(state, message), LATER).events
    except CommandDenied:
        return
    for event in events:
        changed = evolve(state, event, LATER)
        if changed.phase is not state.phase:
            edges[state.phase, changed.phase].add(type(event).__name__)
        state = changed


def test_every_transition_that_is_allowed_is_one_that_happens() -> None:
    assert set(taken()) == {(before, to) for before in TRANSITIONS for to in TRANSITIONS[before]}


def test_the_picture_names_the_event_of_each_transition() -> None:
    events_of = runpy.run_path(str(TOOL))["events_of"]
    for (before, to), events in taken().items():
        assert events == {event.__name__ for event in events_of(before, to)}


def test_the_page_is_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, TOOL, "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")
