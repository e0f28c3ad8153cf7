"""The commands of `tools/crash` as a person runs them: what they try, print and return."""

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.source_tree import ROOT

COMMANDS = ROOT / "tools" / "crash"
SECONDS = 240
"""Far more than any of them takes on a busy machine."""

AT_LEAST = 1
"""Cases of a layer that looks for some seconds: so many it tries on the slowest machine, too."""

KINDS = {"simulation": 8, "damage": 3, "kill": 4, "injection": 6, "powercut": 5}
"""The mutants of each layer."""


def _run(command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, COMMANDS / command, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _report(command: str, *arguments: str) -> dict[str, Any]:
    done = _run(command, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    (layer,) = json.loads(done.stdout)["layers"]
    assert layer["layer"] == command
    return dict(layer)


def _check(layer: dict[str, Any], least: int) -> None:
    assert (layer["silent_losses"], layer["failures"]) == (0, [])
    assert layer["cases"] >= least
    assert sum(layer["outcomes"].values()) == layer["cases"]
    assert len(layer["mutants"]) == KINDS[layer["layer"]]
    assert None not in layer["mutants"].values()


def _check_unless_skipped(layer: dict[str, Any], least: int) -> None:
    if layer["skipped"]:
        pytest.skip(layer["skipped"])
    _check(layer, least)


def test_every_damage_to_a_small_log_is_refused_or_harmless() -> None:
    layer = _report("damage", "--seed", "1")
    _check(layer, 50_000)
    assert set(layer["outcomes"]) == {"exactly what was acknowledged", "damage refused"}


@pytest.mark.parametrize("command", ["simulation", "kill"])
def test_crashes_of_every_kind_lose_nothing(command: str) -> None:
    _check(_report(command, "--seconds", "4", "--seed", "1"), AT_LEAST)


def test_failing_system_calls_lose_nothing() -> None:
    _check_unless_skipped(_report("injection", "--seconds", "2", "--seed", "1"), AT_LEAST)


def test_a_power_cut_under_a_real_filesystem_loses_nothing() -> None:
    _check_unless_skipped(_report("powercut", "--seconds", "2", "--seed", "1"), AT_LEAST)


def test_a_seed_repeats_its_cases() -> None:
    first, second = (_report("simulation", "--seconds", "0", "--seed", "7") for _ in range(2))
    assert first["mutants"] == second["mutants"]


def test_people_are_told_cases_losses_mutants_and_the_seed() -> None:
    done = _run("kill", "--seconds", "0.2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "(seed 5), silent losses: 0, mutants caught: 4 of 4" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("total: ")
    assert done.stderr == ""


def test_what_is_missing_is_said_and_is_no_failure() -> None:
    done = subprocess.run(
        [sys.executable, COMMANDS / "injection", "--seconds", "0"],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "injection: skipped, strace is not installed" in done.stdout


@pytest.mark.parametrize("argument", [["--seconds", "-1"], ["--seconds", "x"], ["--seed", "x"]])
def test_a_wrong_argument_is_refused(argument: list[str]) -> None:
    done = _run("kill", *argument)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_every_layer_has_a_command() -> None:
    commands = {path.name for path in COMMANDS.iterdir() if path.is_file()}
    assert commands == {"all", "boundaries", *KINDS}
    assert all(shutil.which(COMMANDS / name) for name in commands)
