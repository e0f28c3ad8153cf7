"""The restart bench compares what it says it compares."""

import json
import subprocess
import sys
from pathlib import Path

from chronovisor_bench.history import Shape, write_history, write_snapshot_of

from eventlog import read_log
from supervisor.replay import replay
from supervisor.snapshot import load_snapshot
from supervisor.vm.state import Phase

ROOT = Path(__file__).parents[2]
SHAPE = Shape(events=600, vms=30, live=3)


def test_both_logs_hold_the_same_living_vms_and_one_of_them_a_long_history(tmp_path: Path) -> None:
    few = write_history(tmp_path / "alone", SHAPE, only_live=True)
    many = write_history(tmp_path / "whole", SHAPE, only_live=False)
    alone, whole = (replay(read_log(tmp_path / name / "log")) for name in ("alone", "whole"))
    assert (few, many) == (3 * 20, 30 * 20)
    assert list(alone.vms) == list(whole.vms)
    assert {state.phase for state in whole.vms.values()} == {Phase.STOPPED}
    assert whole.unavailable == {}
    write_snapshot_of(tmp_path / "whole")
    bookmark, world = load_snapshot(tmp_path / "whole" / "snapshot", tmp_path / "whole" / "log")
    assert (bookmark.position, world.digest()) == (many, whole.digest())


def test_the_command_times_real_daemons(tmp_path: Path) -> None:
    shape = ("--events", "600", "--vms", "30", "--live", "3", "--rounds", "1", "--json")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "bench" / "restart"), *shape],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ratio"] > 0
    assert [restart["events"] for restart in found["restarts"]] == [60, 600, 600]
    assert all(restart["seconds_median"] > 0 for restart in found["restarts"])
