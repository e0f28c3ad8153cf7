"""`log cat` and `log verify` on real log directories, sound and damaged."""

import json
from pathlib import Path

import msgspec
import pytest
import trio

from eventlog import NewEvent, open_log
from tests.cli.conftest import Run

EVENTS = 5


@pytest.fixture
def log(state_dir: Path) -> Path:
    """A log with a few events of one VM."""
    directory = state_dir / "log"

    async def write() -> None:
        async with open_log(directory) as log:
            for number in range(EVENTS):
                payload = msgspec.msgpack.encode({"launch": number, "bytes": b"\x00\xff"})
                event = NewEvent("vm/iris-1", "vm.agent-ready.v1", payload, f"id-{number}")
                await log.append([event])

    trio.run(write)
    return directory


def damage(directory: Path) -> None:
    segment = min(directory.glob("*.log"))
    content = bytearray(segment.read_bytes())
    content[content.index(b"id-2")] ^= 1
    segment.chmod(0o600)
    segment.write_bytes(content)


def test_cat_prints_what_events_would(run: Run, log: Path) -> None:
    lines = run("log", "cat", "--stream", "vm/iris-1").stdout.splitlines()

    assert len(lines) == EVENTS
    assert all(line.endswith("the guest's agent is ready") for line in lines)


def test_cat_in_json_has_the_data_with_bytes_in_base64(run: Run, log: Path) -> None:
    everything = [json.loads(line) for line in run("log", "cat", "--json").stdout.splitlines()]
    events = [event for event in everything if event["stream"] == "vm/iris-1"]

    assert [event["version"] for event in events] == [1, 2, 3, 4, 5]
    assert events[3]["data"] == {"launch": 3, "bytes": "AP8="}
    later = run("log", "cat", "--json", "--after", str(events[2]["position"])).stdout.splitlines()
    assert json.loads(later[0]) == events[3]


def test_a_sound_log_is_told_to_be_intact(run: Run, log: Path) -> None:
    assert "the log is intact: " in run("log", "verify").stdout
    answer = json.loads(run("log", "verify", "--json").stdout)
    assert answer["intact"] is True
    assert answer["events"] >= EVENTS


def test_a_damaged_log_exits_6_and_names_the_place(run: Run, log: Path) -> None:
    damage(log)
    result = run("log", "verify", "--json")
    answer = json.loads(result.stdout)

    assert result.exit_code == 6
    assert answer["intact"] is False
    assert answer["path"].endswith(".log")
    assert answer["position"] >= 1
    assert "is damaged at byte" in result.stderr


def test_cat_shows_what_is_sound_and_then_exits_6(run: Run, log: Path) -> None:
    damage(log)
    result = run("log", "cat", "--stream", "vm/iris-1")

    assert result.exit_code == 6
    assert len(result.stdout.splitlines()) == 2


def test_an_absent_log_exits_5(run: Run) -> None:
    for command in ("cat", "verify"):
        result = run("log", command)
        assert result.exit_code == 5
        assert "there is no log in" in result.stderr
