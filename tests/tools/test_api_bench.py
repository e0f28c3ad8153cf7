"""The APIs' bench measures what it says, and holds it against the right goals."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from api_bench.contest import QUICK, Found
from api_bench.figures import report
from api_bench.frames import TEXT, Frames, text_frame
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
SECONDS = 480
"""A daemon, a VM and some ten processes, on a machine that may be very busy."""
RATES = ("at_once_per_s", "watched_per_s", "fan_out_1", "fan_out_100", "memory_100")
TIMES = ("at_once_p50", "at_once_p99", "alone_p50", "alone_p99")
GOALS = (
    "submits, 32 in flight",
    "events to 1 WebSockets",
    "events to 100 WebSockets",
    "append to 100 clients: p99 against a round trip",
    "events to 90 beside 10 stalled, against none",
)


def _found(rate: float, seconds: float, unstalled: float) -> Found:
    samples = {f"{name}/bare": [1000.0] for name in RATES} | {
        f"{name}/ours": [rate] for name in RATES
    }
    samples |= {f"{name}/bare": [0.002] for name in TIMES}
    samples |= {f"{name}/ours": [seconds] for name in TIMES}
    samples |= {
        "sync/floor": [0.002],
        "fan_out/unstalled": [unstalled],
        "fan_out/stalled": [1000.0],
    }
    for number in (50, 99):
        samples[f"round_trip_p{number}/bare"] = samples[f"append_p{number}/floor"] = [0.002]
        samples[f"append_p{number}/ours"] = samples[f"durable_p{number}/ours"] = [seconds]
    return Found(QUICK, (0.5, 0.5), samples)


@pytest.mark.parametrize(
    ("found", "reached"),
    [
        (_found(700, 0.020, 1000), dict.fromkeys(GOALS, True)),
        (_found(499, 0.021, 1100), dict.fromkeys(GOALS, False)),
    ],
)
def test_a_goal_is_reached_on_the_right_side_of_its_limit(
    found: Found, reached: dict[str, bool]
) -> None:
    comparisons = report(found).comparisons
    assert {one.title: one.reached for one in comparisons if one.goal} == reached


def test_the_echo_alone_is_charged_with_a_sync_of_the_disk() -> None:
    by_title = {one.title: one for one in report(_found(700, 0.020, 1000)).comparisons}
    assert by_title["submit, alone: p50 against echo + sync"].ratio == pytest.approx(5)


@settings(deadline=None)
@given(
    sizes=st.lists(st.sampled_from((0, 1, 125, 126, 600)), max_size=8),
    step=st.integers(1, 1000),
)
def test_messages_are_counted_however_they_are_cut(sizes: list[int], step: int) -> None:
    data = b"".join(_server_frame(TEXT, size) + _server_frame(0x89, 4) for size in sizes)
    frames = Frames()
    found = sum(frames.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert found == len(sizes)


@pytest.mark.parametrize("size", [65_535, 65_536])
def test_a_long_message_is_one(size: int) -> None:
    frame, frames = _server_frame(TEXT, size), Frames()
    assert [frames.feed(part) for part in (frame[:3], frame[3:9], frame[9:])] == [0, 0, 1]


def _server_frame(opcode: int, size: int) -> bytes:
    if size < 126:
        return bytes([opcode, size]) + b"x" * size
    if size < 65_536:
        return bytes([opcode, 126]) + size.to_bytes(2, "big") + b"x" * size
    return bytes([opcode, 127]) + size.to_bytes(8, "big") + b"x" * size


def test_the_frame_of_a_client_says_its_size_and_is_masked() -> None:
    assert text_frame(b"ab" * 100) == b"\x81\xfe\x00\xc8" + bytes(4) + b"ab" * 100


@pytest.mark.guest
@pytest.mark.timeout(SECONDS + 60)
def test_the_command_runs_once_and_leaves_nothing(guest_dir: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "bench" / "api"), "--quick", "--json"]
    with tempfile.TemporaryDirectory(prefix="b") as scratch:
        Path(scratch).chmod(0o711)
        done = subprocess.run(
            [*command, "--catalogue", str(guest_dir)],
            env={**os.environ, "TMPDIR": scratch},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert list(Path(scratch).iterdir()) == []
    found = json.loads(done.stdout)
    assert {one["title"] for one in found["comparisons"] if one["goal"]} == set(GOALS)
    assert all(one["bare"] > 0 and one["ours"] > 0 for one in found["comparisons"])
