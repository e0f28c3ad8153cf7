"""The soak finds nothing in a few seconds, and would find what it looks for."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from chronovisor_soak.account import Account, Leaks, Reading, lost, spawned_twice
from chronovisor_soak.clients import Promise

HANG_S = 600
"""Every VM has ended within three minutes, and is deleted within as many."""
SOAK = Path(__file__).parents[2] / "tools" / "soak"
CLEAN = Account(
    seconds=1.0,
    seed=1,
    lives=1,
    answers={},
    troubles={},
    events=0,
    vms=0,
    launches=0,
    promises=0,
    lost=[],
    doubles=[],
    stuck=[],
    outcomes={},
    log="intact",
    leaks=Leaks(),
)


def test_a_promise_that_the_log_does_not_know_is_lost() -> None:
    promises = [Promise("kept", "stop", 3), Promise("cut", "stop", 4), Promise("gone", "submit", 1)]
    told = lost(promises, {"vm/kept": 3, "vm/cut": 3})
    assert [each.split(":")[0] for each in told] == ["stop of cut", "submit of gone"]


def test_two_processes_of_one_launch_are_told() -> None:
    spawned = Counter({("vm/a", 1): 1, ("vm/a", 2): 2})
    assert len(spawned_twice(Reading(0, {}, spawned, Counter()))) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"lost": ["x"]},
        {"doubles": ["x"]},
        {"stuck": ["x"]},
        {"log": "damaged"},
        {"leaks": Leaks(qemus=[1])},
        {"leaks": Leaks(zombies=[1])},
        {"leaks": Leaks(files=["x"])},
        {"leaks": Leaks(descriptors=1)},
    ],
)
def test_nothing_of_this_passes(fault: dict[str, object]) -> None:
    assert CLEAN.passed
    assert not msgspec.structs.replace(CLEAN, **fault).passed


@pytest.mark.fault("runs-twice")
@pytest.mark.guest
@pytest.mark.timeout(HANG_S)
def test_a_short_soak_loses_doubles_and_leaves_nothing(guest_dir: Path) -> None:
    # The first blow of this seed is for the daemon, and goes wrong whether a VM runs or not.
    done = subprocess.run(
        [sys.executable, SOAK, "--seconds", "20", "--seed", "60", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CHRONOVISOR_GUEST_DIR": str(guest_dir)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads(done.stdout)
    assert account["promises"] >= 1
    assert sum(account["troubles"].values()) >= 1
