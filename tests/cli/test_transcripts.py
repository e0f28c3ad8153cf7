"""`transcript`: what was said and what was decided, in one order, for people and for programs."""

import json

import pytest
from chronovisor_api import v1

from tests.cli.conftest import Run
from tests.cli.peer import Peer


@pytest.fixture(autouse=True)
def vm(peer: Peer) -> v1.Vm:
    return peer.supervisor.add(v1.Manifest(name="iris"))


def test_an_export_begins_with_what_it_is_of_and_is_in_the_order_of_time(run: Run) -> None:
    header, *entries = [
        json.loads(line) for line in run("transcript", "vm-1", "--json").stdout.splitlines()
    ]
    assert header == {"transcript": 1, "vm_id": "vm-1", "launch": 1}
    assert [entry.get("event") or entry["direction"] for entry in entries] == [
        "vm.submitted.v1",
        "opened",
        "sent",
        "vm.guest-started.v1",
        "received",
        "received",
    ]
    assert entries[2]["message"] == {"execute": "cont"}


def test_people_see_who_spoke_to_whom_and_no_control_characters(run: Run) -> None:
    shown = run("transcript", "vm-1").stdout
    assert 'qmp -> {"execute": "cont"}' in shown
    assert "event ** iris is submitted" in shown
    assert "agent <- (70000 bytes or more that were not kept)" in shown
    assert "\x1b" not in shown


def test_a_launch_of_which_nothing_is_kept_exits_5(run: Run) -> None:
    result = run("transcript", "vm-1", "--launch", "2")
    assert result.exit_code == 5
    assert "nothing was recorded" in result.stderr
    assert run("transcript", "nobody").exit_code == 5
