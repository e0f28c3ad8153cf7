"""`tools/crash/boundaries` as a person runs it: a sample of the kills, and what it prints."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chronovisor_crash.boundaries import Finding, Outcome, Report
from chronovisor_crash.boundary import Boundary, Kind, Met, parse_met, sample

from supervisor.faults.loading import load
from supervisor.faults.seams import MET as SEAM
from tests.source_tree import ROOT

COMMAND = ROOT / "tools" / "crash" / "boundaries"
SECONDS = 480
"""For one computation and a few kills, in software emulation, on a busy machine."""

MET = Met(appends=3, effects={"SpawnQemu": 1, "ArmTimer": 2})


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.fault("vms-lost-with-daemon", "orphan-after-spawn")
@pytest.mark.guest
@pytest.mark.timeout(SECONDS + 60)
def test_a_sample_of_all_kills_is_survived(guest_dir: Path) -> None:
    done = run("--every", "20", "--seed", "4", "--json", "--catalogue", guest_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    tried = [finding["outcome"] for finding in report["findings"]]
    assert report["passed"] is True
    assert len(tried) == -(-report["boundaries"] // 20)
    assert report["boundaries"] == 4 * report["appends"] + 2 * sum(report["effects"].values())
    assert set(tried) <= {Outcome.SOUND.value, Outcome.NOT_MET.value}


def test_a_directory_without_a_guest_is_refused_with_the_command_that_builds_one(
    tmp_path: Path,
) -> None:
    done = run("--catalogue", tmp_path)
    assert done.returncode == 1
    assert f"chronovisor guest build --directory {tmp_path}" in done.stderr


def test_each_boundary_is_a_fault_plan_of_one_fault(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    for boundary in MET.boundaries():
        plan.write_text(boundary.plan)
        assert len(list(load(plan).plan.faults())) == 1
    assert len(MET.boundaries()) == 3 * 4 + 3 * 2


def test_what_a_daemon_counted_is_read_from_its_last_words() -> None:
    said = f"2026-01-01 WARNING supervisor.faults.seams {SEAM} appends=3 ArmTimer=2 SpawnQemu=1"
    assert parse_met(f"before\n{said}\nafter\n") == MET


def test_a_seed_names_a_sample() -> None:
    boundaries = MET.boundaries()
    assert sample(boundaries, 4, seed=7) == sample(boundaries, 4, seed=7)
    assert sample(boundaries, 1, seed=7) != sample(boundaries, 1, seed=8)
    assert set(sample(boundaries, 1, seed=7)) == set(boundaries)


@pytest.mark.parametrize(
    ("outcomes", "passed"),
    [
        ([Outcome.SOUND, Outcome.NOT_MET], True),
        ([Outcome.NOT_MET], False),
        *(([Outcome.SOUND, bad], False) for bad in Outcome if bad.name not in ("SOUND", "NOT_MET")),
    ],
)
def test_one_bad_end_fails_the_campaign(outcomes: list[Outcome], passed: bool) -> None:  # noqa: FBT001
    boundary = Boundary(Kind.AFTER_FSYNC, 1)
    findings = tuple(Finding(str(boundary), boundary.kind, outcome) for outcome in outcomes)
    report = Report(
        seed=1, every=1, boundaries=12, appends=3, effects={}, seconds=1.0, findings=findings
    )
    assert report.passed is passed
