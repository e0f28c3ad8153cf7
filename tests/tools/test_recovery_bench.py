"""`tools/bench/recovery` and `silence` as a person runs them: what they print, and leave."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from chronovisor_bench import libvirtd

ROOT = Path(__file__).parents[2]
SECONDS = 480
"""Some ten starts of a daemon, on a machine that may be very busy."""

pytestmark = [pytest.mark.guest, pytest.mark.timeout(SECONDS + 60)]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where the bench puts its files; short, because sockets lie there, and passable for QEMU."""
    with tempfile.TemporaryDirectory(prefix="b") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


def start(
    scratch: Path, catalogue: Path, *arguments: str, bench: str = "recovery"
) -> subprocess.Popen[str]:
    program = ROOT / "tools" / "bench" / bench
    return subprocess.Popen(
        [sys.executable, program, "--catalogue", catalogue, *arguments],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left(scratch: Path) -> list[str]:
    """Files in the directory, and processes that work there or name it."""
    found = [*map(str, scratch.iterdir())]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes().decode(errors="replace")
            if str(scratch) in line + os.readlink(process / "cwd"):
                found.append(line)
    return found


def test_a_round_with_two_vms_finds_all_of_them_again_and_leaves_nothing(
    scratch: Path, guest_dir: Path
) -> None:
    with start(scratch, guest_dir, "--vms", "2", "--rounds", "1", "--json") as bench:
        printed, said = bench.communicate(timeout=SECONDS)
    assert bench.returncode == 0, said
    found: dict[str, Any] = json.loads(printed)
    assert [each["vms"] for each in found["timings"]] == [0, 2]
    assert (found["without_libvirt"] is None) == (libvirtd.why_not() is None)
    for timing, sample in zip(found["timings"], found["samples"], strict=True):
        ours, theirs = (
            [restart["seconds"] for restart in sample[who]] for who in ("chronovisor", "libvirt")
        )
        assert timing["chronovisor_s"] == median(ours) > 0
        assert timing["libvirt_s"] == (median(theirs) if theirs else None)
        if theirs:
            assert timing["ratio"] == pytest.approx(median(ours) / median(theirs))
    assert left(scratch) == []


def test_interrupted_while_it_measures_it_leaves_nothing(scratch: Path, guest_dir: Path) -> None:
    with start(scratch, guest_dir, "--vms", "2", "--rounds", "9") as bench:
        assert bench.stderr is not None
        while line := bench.stderr.readline():
            if "2 VMs" in line:
                break
        assert line
        bench.send_signal(signal.SIGINT)
        bench.communicate(timeout=SECONDS)
    assert bench.returncode == 130
    assert left(scratch) == []


@pytest.mark.fault("one-blocks-all", "qemu-stopped")
def test_one_qemu_that_is_stopped_falls_silent_and_comes_back(
    scratch: Path, guest_dir: Path
) -> None:
    arguments = ("--vms", "3", "--rounds", "1", "--json")
    with start(scratch, guest_dir, *arguments, bench="silence") as bench:
        printed, said = bench.communicate(timeout=SECONDS)
    assert bench.returncode == 0, said
    found: dict[str, Any] = json.loads(printed)
    assert 0 < found["back_after_s"] < found["silent_after_s"] < SECONDS
    assert [(each["call"], each["percentile"]) for each in found["answers"]] == [
        (call, percentile) for call in ("GetVm", "ListVms", "PauseVm") for percentile in (50, 99)
    ]
    for each in found["answers"]:
        assert each["ratio"] == pytest.approx(each["during"] / each["before"])
        assert each["reached"] == (each["ratio"] <= each["goal"])
    assert left(scratch) == []
