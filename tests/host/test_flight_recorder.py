"""What is recorded of a conversation, what is never, and what it costs."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervisor.host.flight_recorder import (
    LINE_BYTES,
    MESSAGES_PER_S,
    TRANSCRIPT_BYTES,
    FlightRecorder,
    transcript,
)
from supervisor.host.interposing import Channel, Lines, direct
from supervisor.host.redaction import REDACTED, redacted
from supervisor.vm import layout

SECRET = "c3dvcmRmaXNo"
LAUNCH = 1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / layout.launch_directory(LAUNCH)
    made.mkdir()
    return made


def entries(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in transcript(directory.parent, LAUNCH).splitlines()]


def messages(directory: Path) -> list[object]:
    return [entry.get("message") for entry in entries(directory)]


def record(recorder: FlightRecorder, direction: str, **message: object) -> None:
    recorder.record(Channel.QMP, direction, json.dumps(message).encode())


async def test_both_directions_are_recorded_line_by_line(directory: Path) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    stream = FlightRecorder(directory).recording(direct)(Channel.QMP, directory, ours)
    await stream.send_all(b'{"execute": "cont", "id": 1}\n')
    await theirs.send_all(b'{"event": "RES')
    await stream.receive_some()
    await theirs.send_all(b'UME"}\r\n{"return": {}, "id": 1}\r\n')
    await stream.receive_some()
    await theirs.aclose()
    assert await stream.receive_some() == b""
    assert [(e["direction"], e.get("message")) for e in entries(directory)] == [
        ("opened", None),
        ("sent", {"execute": "cont", "id": 1}),
        ("received", {"event": "RESUME"}),
        ("received", {"return": {}, "id": 1}),
        ("closed", None),
    ]
    assert all(entry["channel"] == "qmp" for entry in entries(directory))


def test_only_the_daemons_user_may_read_it(directory: Path) -> None:
    FlightRecorder(directory).record(Channel.QMP, "opened")
    mode = (directory / layout.TRANSCRIPT).stat().st_mode
    assert mode & 0o777 == 0o600


@pytest.mark.fault("secret-exposed")
@pytest.mark.parametrize(
    "message",
    [
        {
            "execute": "sev-inject-launch-secret",
            "arguments": {"packet-header": SECRET, "secret": SECRET, "gpa": 1},
        },
        {"execute": "object-add", "arguments": {"qom-type": "secret", "data": SECRET}},
        {"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "data": SECRET}},
        {"execute": "set_password", "arguments": {"protocol": "vnc", "password": SECRET}},
        {"execute": "x", "arguments": {"list": [{"Passphrase": SECRET}]}},
        {"execute": "x", "arguments": {"disk-SECRET-key": {"deep": SECRET}}},
    ],
)
def test_a_secret_never_reaches_the_disk(directory: Path, message: dict[str, Any]) -> None:
    record(FlightRecorder(directory), "sent", **message)
    text = (directory / layout.TRANSCRIPT).read_text()
    assert SECRET not in text
    assert REDACTED in text
    assert message["execute"] in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
)


@given(JSON)
def test_what_is_no_secret_is_kept_as_it_was(value: object) -> None:
    names = str(value).lower()
    if not any(word in names for word in ("secret", "passw", "passp", "packet", "private")):
        assert redacted(value) == value


def test_what_is_not_json_or_too_long_leaves_its_length_only(directory: Path) -> None:
    recorder = FlightRecorder(directory)
    recorder.record(Channel.QMP, "received", b"\xff not QMP")
    recorder.record(Channel.QMP, "received", b"[" * 10_000)
    recorder.record(Channel.QMP, "received", b'"' + b"x" * LINE_BYTES + b'"')
    assert [entry["omitted"] for entry in entries(directory)] == [9, 10_000, LINE_BYTES + 2]
    assert messages(directory) == [None] * 3


def test_the_lines_of_an_algorithm_are_not_recorded_twice(directory: Path) -> None:
    recorder = FlightRecorder(directory)
    recorder.record(Channel.AGENT, "received", b'{"v": 1, "type": "log", "line": "private"}')
    recorder.record(Channel.AGENT, "received", b'{"v": 1, "type": "ready"}')
    assert messages(directory) == [{"v": 1, "type": "ready"}]


def test_of_an_idle_qemu_only_a_new_state_is_recorded(directory: Path) -> None:
    recorder = FlightRecorder(directory)
    for number, status in enumerate(["running", "running", "running", "paused", "paused"], 1):
        record(recorder, "sent", execute="query-status", id=number)
        record(recorder, "received", **{"return": {"status": status}, "id": number})
    told = [entry["message"].get("return") for entry in entries(directory)]
    assert [each["status"] for each in told if each] == ["running", "paused"]
    assert len(told) == 4


def test_a_question_that_a_wedged_qemu_owes_is_recorded(directory: Path) -> None:
    recorder = FlightRecorder(directory)
    record(recorder, "sent", execute="query-status", id=1)
    recorder.record(Channel.QMP, "closed")
    assert messages(directory) == [{"execute": "query-status", "id": 1}, None]


def test_a_long_talk_is_bounded_and_every_line_that_is_left_is_whole(directory: Path) -> None:
    recorder = FlightRecorder(directory, clock=itertools.count().__next__)
    for number in range(6000):
        record(recorder, "received", event="NOISE", data={"number": number})
    files = list(directory.iterdir())
    assert sum(file.stat().st_size for file in files) <= TRANSCRIPT_BYTES
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    numbers = [entry["message"]["data"]["number"] for entry in entries(directory)]
    assert numbers == list(range(numbers[0], 6000))
    assert len(numbers) > 500


def test_a_flood_is_measured_and_costs_no_more_than_its_first_messages(directory: Path) -> None:
    seconds = iter([0.0] * 500 + [1.0])
    recorder = FlightRecorder(directory, clock=seconds.__next__)
    for _ in range(500):
        recorder.record(Channel.AGENT, "received", b'{"type": "progress"}')
    recorder.record(Channel.AGENT, "received", b'{"type": "finished"}')
    kept = entries(directory)
    assert len(kept) == MESSAGES_PER_S + 2
    assert kept[-2]["omitted"] == (500 - MESSAGES_PER_S) * len(b'{"type": "progress"}')
    assert kept[-1]["message"] == {"type": "finished"}


def test_a_launch_that_says_nothing_holds_no_descriptor(directory: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    recorder = FlightRecorder(directory)
    record(recorder, "sent", execute="cont")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_cannot_take_it_disturbs_nobody(tmp_path: Path) -> None:
    recorder = FlightRecorder(tmp_path / "gone")
    record(recorder, "sent", execute="cont")
    assert transcript(tmp_path, LAUNCH) == b""


def test_a_link_in_its_place_is_not_followed(directory: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (directory / layout.TRANSCRIPT).symlink_to(victim)
    record(FlightRecorder(directory), "sent", execute="cont")
    assert victim.read_text() == "mine"


@given(st.lists(st.binary(max_size=12)), st.integers(1, 8))
def test_lines_are_the_same_however_the_bytes_are_cut(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    lines = Lines(limit)
    found = [line for piece in pieces for line in lines.take(piece)]
    assert found == [line[:limit] for line in whole.split(b"\n")[:-1]]
