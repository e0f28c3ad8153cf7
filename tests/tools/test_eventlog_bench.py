"""The event log's bench measures what it says, and holds it against the right goals."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from eventlog_bench.appending import Appends
from eventlog_bench.contest import PRODUCERS, Found
from eventlog_bench.goals import Bound, Goal, report
from eventlog_bench.plot import plot
from eventlog_bench.workload import EVENTS, write_log

from eventlog import verify_log

ROOT = Path(__file__).parents[2]
FIGURES = ("replay", "audit", "fan_out", "channels", "wake_p50", "wake_p99", "unwatched", "stalled")


def _found(log: Appends, others: Appends) -> Found:
    appends = {"raw/1": [others]}
    for number in PRODUCERS:
        appends |= {f"eventlog/{number}": [log], f"sqlite/{number}": [others]}
    return Found(289, appends, {name: [10.0] for name in FIGURES})


def test_the_events_are_of_the_size_that_is_told(tmp_path: Path) -> None:
    assert 260 <= write_log(tmp_path, 600) <= 300
    assert sum(one.last - one.first + 1 for one in verify_log(tmp_path)) == 600
    assert len({one.event_id for one in EVENTS}) == len(EVENTS)


def test_a_goal_is_reached_on_the_right_side_of_its_limit() -> None:
    assert Goal(Bound.AT_MOST, 2).reached_by(2)
    assert not Goal(Bound.AT_MOST, 2).reached_by(2.1)
    assert Goal(Bound.AT_LEAST, 2).reached_by(2)
    assert not Goal(Bound.AT_LEAST, 2).reached_by(1.9)


def test_ratios_are_those_of_medians_against_raw_and_against_sqlite() -> None:
    raw, log = Appends(1000, 0.001, 0.002), Appends(12_000, 0.0015, 0.004)
    found = report(_found(log, raw))
    by_title = {one.title: one for one in found.figures}
    assert by_title["append, 1 producer: p50 against raw"].value == 1.5
    assert by_title["throughput against raw, 64"].value == 12
    assert by_title["throughput against SQLite, 256"].value == 12
    assert by_title["p99 with 64 against raw p50"].value == 4
    assert [one.title for one in found.figures if one.reached is False] == [
        "throughput against raw, 256",
        "replay: verify, decode, fold",
        "full audit with hash tree",
        "bytes taken by 100 subscribers against channels",
        "wake-up of 100 subscribers, p99",
    ]


def test_the_command_runs_once_and_draws_what_it_found(tmp_path: Path) -> None:
    picture = tmp_path / "appends.svg"
    command = [str(ROOT / "tools" / "bench" / "eventlog"), "--quick", "--json"]
    done = subprocess.run(
        [sys.executable, *command, "--plot", str(picture), "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {(one["who"], one["producers"]) for one in found["speeds"]} >= {
        ("raw", 1),
        *((who, number) for who in ("eventlog", "sqlite") for number in PRODUCERS),
    }
    assert all(one["per_second"] > 0 for one in found["speeds"])
    drawn = ElementTree.fromstring(picture.read_text())
    assert sum(one.tag.endswith("rect") for one in drawn) > 2 * len(PRODUCERS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["appends.svg"]


def test_a_plot_of_a_report_without_eventsourcing_is_drawn_all_the_same() -> None:
    speed = Appends(1000, 0.001, 0.002)
    assert "eventsourcing" not in {one.who for one in report(_found(speed, speed)).speeds}
    assert ElementTree.fromstring(plot(report(_found(speed, speed))))[0].tag.endswith("rect")
