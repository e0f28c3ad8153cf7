"""`--as-of`, `log diff`, `log why`, `log replay` and `log archive` on real logs."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from eventlog import LogOptions, NewEvent, open_log, read_log
from eventlog.offline import log_id_of
from supervisor.admission import events as admission
from supervisor.cause import Cause
from supervisor.cli.stories import COMMANDS, HOW
from supervisor.journal import HOST_STREAM, encode, vm_stream
from supervisor.log_key import load_signer
from supervisor.past.archiving import check_base
from supervisor.replay import ReplayError, World, replay
from supervisor.schema import TAGS
from supervisor.snapshots import Snapshots
from supervisor.vm import events as vm
from supervisor.vm.observations import ExitEvidence, ProcessIdentity
from tests.cli.conftest import Run
from tests.vm.states import DIRECTORY, IMAGES, MANIFEST, NOW, SHA256

SMALL = LogOptions(segment_bytes=64 * 1024)
REQUEST = Cause("request-1", "request-1", "uid:1000")


async def tell(state_dir: Path, vm_id: str, *events: vm.Event, cause: Cause = REQUEST) -> None:
    """Append events in a life of their own, each the cause of the next."""
    async with open_log(state_dir / "log", SMALL) as log:
        for event in events:
            new = [encode(event, vm_stream(vm_id), "local", cause)]
            if isinstance(event, vm.ComputationSubmitted):
                admitted = admission.ComputationAdmitted(vm_id, f"key-{vm_id}", SHA256)
                new.insert(0, encode(admitted, HOST_STREAM, "local", cause))
            records = await log.append(new)
            cause = cause.followed_by(records[-1].event_id)


LAUNCH = vm.LaunchIntended(1, DIRECTORY, "uuid", ("qemu",), SHA256, IMAGES, "tcg", NOW)
LIFE: tuple[vm.Event, ...] = (
    vm.ComputationSubmitted(MANIFEST, SHA256),
    LAUNCH,
    vm.QemuSpawned(1, ProcessIdentity(4711, 99, "boot")),
    vm.GuestStarted(1, NOW),
    vm.StopOrdered(1, vm.Outcome.STOPPED_BY_CLIENT, vm.StopStep.QUIT, NOW),
    vm.ProcessExited(1, ExitEvidence(exit_code=0)),
    vm.VmStopped(1, vm.Outcome.STOPPED_BY_CLIENT, "stopped as ordered"),
)


@pytest.fixture
def log(state_dir: Path) -> Path:
    """Positions 1 to 8: iris, stopped. 9 to 12: rose, deleted. 13, 14: lily, submitted."""
    trio.run(tell, state_dir, "iris", *LIFE)
    gone = (vm.VmFailed(0, vm.Outcome.QEMU_FAILED_TO_START, "no"), vm.VmDeleted(0))
    trio.run(tell, state_dir, "rose", LIFE[0], *gone)
    trio.run(tell, state_dir, "lily", LIFE[0])
    return state_dir / "log"


def answer(run: Run, *arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("position", "phase"),
    [("2", "defined"), ("3", "launching"), ("5", "running"), ("6", "stopping"), ("8", "stopped")],
)
def test_show_tells_what_was_at_a_position(run: Run, log: Path, position: str, phase: str) -> None:
    assert answer(run, "show", "iris", "--as-of", position)["phase"] == phase
    assert phase in run("show", "iris", "--as-of", position).stdout


def test_show_takes_a_time_too(run: Run, log: Path) -> None:
    fifth = next(record for record in read_log(log) if record.position == 5)
    when = answer(run, "log", "replay", "--upto", "5")["recorded_at"]
    assert answer(run, "show", "iris", "--as-of", when)["phase"] == "running"
    assert fifth.recorded_at // 1000 % 1_000_000 == int(when[-7:-1])
    assert answer(run, "show", "iris", "--as-of", "0s")["phase"] == "stopped"
    assert run("show", "iris", "--as-of", "1d").exit_code == 5


def test_list_tells_who_was_there(run: Run, log: Path) -> None:
    def at(position: str, *options: str) -> list[str]:
        vms = answer(run, "list", "--as-of", position, *options)["vms"]
        return [each["vm_id"] for each in vms]

    assert at("0") == []
    assert at("8") == ["iris"]
    assert at("10") == ["iris", "rose"]
    assert at("14") == ["iris", "lily"]
    assert at("14", "--phase", "stopped") == ["iris"]
    assert at("14", "--label", "team=blue") == []
    assert "iris" in run("list", "--as-of", "8").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "rose", "--as-of", "12"), 5, "was deleted at position 12"),
        (("show", "lily", "--as-of", "8"), 5, "there was no VM 'lily'"),
        (("show", "iris", "--as-of", "99"), 5, "position 99 is not in the log"),
        (("show", "iris", "--as-of", "soon"), 2, "it takes a position"),
        (("show", "iris", "--as-of", "3", "--timeline"), 2, "leave --as-of away"),
        (("log", "diff", "9", "3"), 2, "exchange them"),
        (("log", "diff", "3", "99"), 5, "ends at 14"),
        (("log", "why", "99"), 5, "there is no event at position 99"),
        (("log", "archive", "--drop"), 2, "say which events"),
        (("log", "archive", "--before", "5"), 2, "either --to DIR, or --drop"),
        (("log", "archive", "--before", "2", "--drop"), 2, "no sealed segment"),
        (("log", "replay", "--snapshot"), 7, "cannot be used"),
    ],
)
def test_a_question_that_cannot_be_answered_gets_a_sentence(
    run: Run, log: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in " ".join(result.stderr.split())


def test_diff_tells_what_changed_vm_by_vm(run: Run, log: Path) -> None:
    told = run("log", "diff", "5", "14").stdout
    assert "iris: running -> stopped (stopped-by-client)" in told
    assert "rose: submitted and deleted again" in told
    assert "lily: submitted, now defined" in told
    changes = {each["vm_id"]: each for each in answer(run, "log", "diff", "5", "14")["changes"]}
    assert changes["iris"]["phase"] == ["running", "stopped"]
    assert changes["iris"]["fields"]["detail"] == ["", "stopped as ordered"]
    assert {name: each["kind"] for name, each in changes.items()} == {
        "iris": "changed",
        "lily": "submitted",
        "rose": "came-and-went",
    }
    assert "rose: failed -> deleted" in run("log", "diff", "11", "12").stdout
    assert "no VM changed" in run("log", "diff", "3", "3").stdout


def test_why_tells_the_story_from_the_command_on(run: Run, log: Path) -> None:
    told = run("log", "why", "7").stdout.splitlines()
    assert "submit, by uid:1000 of local" in told[0]
    words = ["submitted", "launch-intended", "qemu-spawned", "guest-started", "stop-ordered"]
    assert [word for line in told for word in words if f"  {word} " in line] == words
    assert "      done: QEMU is told to quit" in told[-3]
    assert told[-2].strip() == "seen: the process is gone"
    story = answer(run, "log", "why", "7")
    assert story["order"] is None
    assert (story["whole"], story["origin"]["principal"]) == (True, "uid:1000")
    assert [step["event"]["position"] for step in story["steps"]] == [2, 3, 4, 5, 6, 7]
    assert story["steps"][-1]["effect"] == "QEMU is told to quit"


def test_why_tells_who_ordered_what_was_then_seen_and_what_was_decided_together(
    run: Run, state_dir: Path, log: Path
) -> None:
    trio.run(lambda: tell(state_dir, "aster", *LIFE[:4]))
    stop = Cause("request-2", "request-2", "uid:7")
    trio.run(lambda: tell(state_dir, "aster", LIFE[4], cause=stop))

    async def end() -> None:
        launched = next(r for r in read_log(log) if (r.stream, r.version) == ("vm/aster", 2))
        cause = Cause(launched.event_id, launched.correlation_id)
        async with open_log(log, SMALL) as writer:
            both = [encode(event, "vm/aster", "local", cause) for event in LIFE[5:]]
            await writer.append(both)

    trio.run(end)
    told = run("log", "why", "22").stdout
    assert "submit, by uid:1000" in told
    assert "seen: the process is gone" in told
    assert told.index("  21  process-exited") < told.index("  22  stopped")
    assert told.index("as was ordered:") < told.index("stop, by uid:7") < told.index("  20  stop-")
    story = answer(run, "log", "why", "22")
    assert [each["position"] for each in story["steps"][-1]["together"]] == [21]
    assert story["order"]["origin"]["principal"] == "uid:7"


def test_moments_that_are_reversed_are_refused_also_as_times(run: Run, log: Path) -> None:
    later = answer(run, "log", "replay", "--upto", "9")["recorded_at"]
    earlier = answer(run, "log", "replay", "--upto", "3")["recorded_at"]
    result = run("log", "diff", later, earlier)
    assert (result.exit_code, "exchange them" in result.stderr) == (2, True)


def test_what_has_the_same_cause_was_decided_together_only_if_it_was_written_together(
    run: Run, state_dir: Path, log: Path
) -> None:
    trio.run(tell, state_dir, "aster", *LIFE[:5])

    async def end() -> None:
        last = list(read_log(log))[-1]
        cause = Cause(last.event_id, last.correlation_id)
        async with open_log(log, SMALL) as writer:
            for event in LIFE[5:]:
                await writer.append([encode(event, "vm/aster", "local", cause)])

    trio.run(end)
    story = answer(run, "log", "why", "22")
    assert [step.get("together", []) for step in story["steps"]][-1] == []


def test_causes_that_go_round_in_a_circle_come_to_an_end(
    run: Run, state_dir: Path, log: Path
) -> None:
    """Nobody writes such a log but a forger, who must not keep an auditor for ever."""

    async def forge() -> None:
        async with open_log(log, SMALL) as writer:
            for name, cause in (("a", "b"), ("b", "a"), ("c", "b")):
                event = encode(LIFE[0], "vm/circle", "local", Cause(cause, "b"))
                await writer.append([msgspec.structs.replace(event, event_id=name)])

    trio.run(forge)
    positions = [each["event"]["position"] for each in answer(run, "log", "why", "17")["steps"]]
    assert positions == [15, 16, 17]


def test_why_says_when_a_cause_is_gone(run: Run, state_dir: Path, log: Path) -> None:
    lost = Cause("nobody", "request-9")
    trio.run(lambda: tell(state_dir, "fern", LIFE[0], cause=lost))
    assert "not in the log any more" in run("log", "why", "16").stdout
    assert answer(run, "log", "why", "16")["origin"]["kind"] == "unknown"


def test_every_event_has_its_way_of_coming_about() -> None:
    assert set(HOW) == set(TAGS)
    assert set(COMMANDS) <= set(TAGS.values())


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
