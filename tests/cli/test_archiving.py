"""`log archive`, and what can be asked of a log whose beginning it took."""

from pathlib import Path

import pytest
import trio

from eventlog import NewEvent, open_log, read_log
from eventlog.offline import log_id_of
from supervisor.log_key import load_signer
from supervisor.past.archiving import check_base
from supervisor.replay import ReplayError, World, replay
from supervisor.snapshots import Snapshots
from tests.cli import lives
from tests.cli.conftest import Run, answer
from tests.cli.lives import LIFE, SMALL, tell


@pytest.fixture
def log(state_dir: Path) -> Path:
    return lives.three(state_dir)


def test_one_state_hash_from_the_beginning_from_a_snapshot_and_from_a_base(
    run: Run, state_dir: Path, log: Path, tmp_path: Path
) -> None:
    whole = answer(run, "log", "replay")
    assert (whole["position"], whole["vms"], whole["unavailable"]) == (14, 2, {})
    snapshots = Snapshots(log, state_dir / "snapshot")
    snapshots.fold()
    snapshots.write()
    assert answer(run, "log", "replay", "--snapshot") == whole
    done = answer(run, "log", "archive", "--before", "13", "--to", str(tmp_path / "kept"))
    assert (done["first"], done["last"], done["state_hash"]) == (1, 12, whole["state_hash"])
    assert answer(run, "log", "replay")["state_hash"] == whole["state_hash"]
    assert answer(run, "log", "replay", "--snapshot")["state_hash"] == whole["state_hash"]
    assert run("log", "verify").exit_code == 0
    assert [record.position for record in read_log(tmp_path / "kept")] == [*range(1, 13)]


def test_what_was_archived_can_be_proved_although_nothing_was_signed_before(
    run: Run, state_dir: Path, log: Path, tmp_path: Path
) -> None:
    assert not (log / "tile").exists()
    load_signer(state_dir / "log.key", log_id_of(log))
    answer(run, "log", "archive", "--before", "13", "--to", str(tmp_path / "kept"))
    assert answer(run, "log", "verify")["root"] is not None
    assert run("log", "prove", "5", "--archive", str(tmp_path / "kept")).exit_code == 0


def test_nothing_is_removed_where_the_base_does_not_give_the_state(log: Path) -> None:
    async def with_the_base_of_an_empty_state() -> int:
        async with open_log(log, SMALL) as writer:
            await writer.append_base(World().encoded(), 13)
            return writer.head

    base = trio.run(with_the_base_of_an_empty_state)
    check_base(log, base, World())
    with pytest.raises(ReplayError, match="nothing was removed"):
        check_base(log, base, replay(read_log(log)))


def test_what_was_archived_is_not_guessed(run: Run, log: Path) -> None:
    done = answer(run, "log", "archive", "--keep", "1", "--drop")
    assert done["last"] == 12
    result = run("show", "lily", "--as-of", "14")
    assert result.exit_code == 7
    assert "archived" in result.stderr
    assert answer(run, "show", "lily", "--as-of", str(done["base"]))["phase"] == "defined"
    assert answer(run, "show", "iris", "--as-of", "0s")["phase"] == "stopped"
    story = answer(run, "log", "why", "14")
    assert [step["event"]["position"] for step in story["steps"]] == [14]


@pytest.mark.parametrize(
    "question",
    [
        ("list", "--as-of", "5"),
        ("list", "--as-of", "1d"),
        ("show", "iris", "--as-of", "5"),
        ("show", "iris", "--as-of", "12"),
        ("log", "replay", "--upto", "5"),
        ("log", "diff", "1", "5"),
        ("log", "diff", "5", "15"),
        ("log", "diff", "0", "15"),
        ("log", "why", "1"),
    ],
)
def test_a_moment_that_was_archived_is_refused(
    run: Run, log: Path, question: tuple[str, ...]
) -> None:
    answer(run, "log", "archive", "--keep", "1", "--drop")
    result = run(*question)
    assert (result.exit_code, result.stdout) == (7, "")
    assert "events 1 to 12 were archived; begin at position 13" in result.stderr


def test_before_the_first_event_there_was_nothing_whatever_was_archived(
    run: Run, log: Path
) -> None:
    answer(run, "log", "archive", "--keep", "1", "--drop")
    assert answer(run, "list", "--as-of", "0")["vms"] == []


def test_what_is_older_than_the_oldest_event_left_was_archived_already(run: Run, log: Path) -> None:
    answer(run, "log", "archive", "--keep", "1", "--drop")
    for before in ("1d", "5"):
        result = run("log", "archive", "--before", before, "--drop")
        assert (result.exit_code, "no sealed segment" in result.stderr) == (2, True)


def test_a_state_with_holes_is_not_put_in_the_place_of_its_events(
    run: Run, state_dir: Path, log: Path
) -> None:
    async def strange() -> None:
        async with open_log(log, SMALL) as writer:
            await writer.append([NewEvent("vm/iris", "vm.teleported.v1", b"\x80", "id")])

    trio.run(strange)
    before = sorted(path.name for path in log.glob("*.log"))[:3]
    result = run("log", "archive", "--before", "13", "--drop")
    assert result.exit_code == 7
    assert "'vm.teleported.v1' at position 15" in result.stderr
    assert sorted(path.name for path in log.glob("*.log"))[:3] == before
    assert run("show", "iris", "--as-of", "15").exit_code == 7
    assert "vm.teleported.v1" in run("list", "--as-of", "15").stderr
    assert list(answer(run, "log", "replay")["unavailable"]) == ["iris"]
    assert "iris: has events" in run("log", "diff", "14", "15").stdout


@pytest.mark.parametrize("name", [".", "../log", "../link", "tile", "new/inner"])
def test_an_archive_within_the_log_is_refused_before_anything_is_written(
    run: Run, log: Path, name: str
) -> None:
    (log.parent / "link").symlink_to(log)
    before = {path: path.stat().st_mtime_ns for path in log.rglob("*")}
    result = run("log", "archive", "--before", "13", "--to", str(log / name))
    assert result.exit_code == 7
    assert "name a directory outside of it" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in log.rglob("*")} == before


def test_an_archive_among_the_files_of_another_log_is_refused(
    run: Run, state_dir: Path, log: Path
) -> None:
    trio.run(tell, state_dir / "other", "iris", *LIFE)
    before = list(read_log(log))
    result = run("log", "archive", "--before", "13", "--to", str(state_dir / "other/log"))
    assert result.exit_code == 7
    assert "is that of a log" in result.stderr
    assert list(read_log(log)) == before


def test_keeping_everything_archives_nothing(run: Run, log: Path) -> None:
    assert run("log", "archive", "--keep", "14", "--drop").exit_code == 2
