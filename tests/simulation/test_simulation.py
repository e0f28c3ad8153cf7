"""Seeds through the whole daemon: what must hold holds, and what is broken is found."""

import json
import os
import subprocess
import sys

import pytest

from tests.simulation import coverage
from tests.simulation.campaign import Goal, Tally, hunt, quiet, run
from tests.simulation.mutants import MUTANTS, NONE, Mutant
from tests.simulation.regressions import REGRESSIONS
from tests.simulation.shrinking import minimal_trace, shrink
from tests.simulation.trial import try_seed
from tests.source_tree import ROOT

COMMAND = ROOT / "tools" / "simulate"
SEEDS = 200
"""Some 20 s; a whole campaign is 50 times as long (docs/simulation.md)."""

FIRST = 1_000_000
"""Other seeds than a campaign begins with."""


@pytest.fixture(scope="module")
def tally() -> Tally:
    tally = Tally()
    run(tally, Goal(steps=0, seeds=SEEDS), FIRST, jobs=1, progress=lambda tally: None)
    return tally


@pytest.mark.fault("runs-twice", "stale-event")
def test_no_invariant_breaks(tally: Tally) -> None:
    assert tally.failures == []
    assert tally.seeds >= SEEDS
    assert tally.steps > 100 * SEEDS
    assert tally.crashes > SEEDS


def test_nothing_that_is_said_to_be_unreachable_is_met(tally: Tally) -> None:
    assert coverage.contradicted(tally.met) == []


def test_most_of_what_is_reachable_is_met_by_a_few_seeds(tally: Tally) -> None:
    reachable = [pair for pair in coverage.pairs() if not coverage.why_unreachable(*pair)]
    assert len(coverage.missed(tally.met)) < len(reachable) / 4


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_failed_once_holds(seed: int) -> None:
    assert try_seed(seed).invariant == ""


@pytest.mark.fault("stale-event")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    assert hunt(mutant) is not None


def _trace(seed: int, mutant: Mutant = NONE) -> list[str]:
    lines: list[str] = []
    try_seed(seed, mutant, trace=lines.append)
    return lines


def test_a_seed_repeats_exactly() -> None:
    first = _trace(7)
    assert len(first) > 50
    assert _trace(7) == first


def test_a_seed_repeats_in_another_process() -> None:
    said = {_run("--seed", "5", "--trace", hash_seed=seed).stdout for seed in ("1", "2")}
    assert len(said) == 1
    assert said.pop().endswith("all is well\n")


def test_two_seeds_are_two_cases() -> None:
    assert _trace(7) != _trace(8)


def test_a_failure_is_made_short() -> None:
    broken = next(mutant for mutant in MUTANTS if mutant.name == "a launch is spawned twice")
    finding = hunt(broken)
    assert finding is not None
    with quiet():
        assert len(shrink(finding, broken)) > 32
        assert len(minimal_trace(finding, broken)) < len(_trace(finding.seed, broken))


def _run(*arguments: str, hash_seed: str = "0") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )


def test_people_are_told_seeds_steps_crashes_and_what_was_met() -> None:
    done = _run("--steps", "0", "--seeds", "25", "--no-mutants")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not reachable: a result is read only after the exit" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("25 seeds, ")
    assert last.endswith("broken invariants: 0")


def test_machines_are_told_the_same_from_several_processes() -> None:
    done = _run("--steps", "0", "--seeds", "50", "--no-mutants", "--json", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    # Both processes may end a chunk at once: what was tried beyond the goal is told, too.
    assert told["seeds"] >= 50
    assert (told["failures"], told["contradicted"]) == ([], [])
    assert told["met"]["Stop in running"] > 0


@pytest.mark.parametrize(
    "arguments", [["--trace"], ["--jobs", "0"], ["--seed", "-1"], ["--seconds", "x"]]
)
def test_a_wrong_argument_is_refused(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 2
    assert "usage: simulate" in done.stderr
