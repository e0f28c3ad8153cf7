"""`--as-of`, `log diff`, `log why` and `log replay` on real logs."""

from pathlib import Path

import click
import msgspec
import pytest
import trio

from eventlog import open_log, read_log
from supervisor.cause import Cause
from supervisor.cli.program import cli
from supervisor.cli.stories import COMMANDS, HOW
from supervisor.journal import encode
from supervisor.schema import TAGS
from tests.cli import lives
from tests.cli.conftest import Run, answer
from tests.cli.lives import LIFE, SMALL, tell


@pytest.fixture
def log(state_dir: Path) -> Path:
    return lives.three(state_dir)


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
    assert "      done: QEMU is told to quit" in told[-4]
    assert told[-3].strip() == "seen: the process is gone"
    story = answer(run, "log", "why", "7")
    assert told[-1] == f"trace {story['trace_id']}"
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


@pytest.mark.parametrize("name", sorted(set(COMMANDS.values()) - {"upload"}))
def test_what_a_client_asked_for_is_a_command(name: str) -> None:
    """An upload is part of a submission."""
    found: click.Command | None = cli
    for word in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
