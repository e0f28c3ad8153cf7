"""`tools/bench/launch` as a person runs it: what it prints, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 480
"""For a warm-up and one round of each kind, in software emulation, on a busy machine."""

SPANS = {
    "qmp_ready": ("about to spawn QEMU", "QMP ready"),
    "guest_running": ("submit accepted", "guest runs"),
    "end_to_end": ("submit accepted", "result recorded"),
}
GOALS: dict[str, Callable[[float, float], bool]] = {
    "qmp_ready": lambda bare, supervised: supervised <= 1.3 * bare,
    "guest_running": lambda bare, supervised: supervised <= 2.5 * bare,
    "end_to_end": lambda bare, supervised: supervised <= bare + 0.3,
}

pytestmark = [pytest.mark.guest, pytest.mark.timeout(SECONDS + 60)]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where the bench puts its files; short, because sockets lie there, and passable for QEMU."""
    with tempfile.TemporaryDirectory(prefix="b") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


def start(scratch: Path, catalogue: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "tools" / "bench" / "launch", "--catalogue", catalogue, *arguments],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes(scratch: Path) -> list[str]:
    """The command lines of all processes that mention the directory."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if str(scratch) in line]


def left(scratch: Path) -> list[str]:
    """What is left of a bench: files and processes."""
    return [*map(str, scratch.iterdir()), *processes(scratch)]


def test_one_round_prints_medians_that_follow_from_its_samples(
    scratch: Path, guest_dir: Path
) -> None:
    with start(scratch, guest_dir, "--rounds", "1", "--json") as bench:
        printed, said = bench.communicate(timeout=SECONDS)
    assert bench.returncode == 0, said
    found: dict[str, Any] = json.loads(printed)
    assert found["rounds"] == 1
    measures = {measure["name"]: measure for measure in found["measures"]}
    assert measures.keys() == SPANS.keys()
    for name, (begin, end) in SPANS.items():
        bare, supervised = measures[name]["bare_median"], measures[name]["chronovisor_median"]
        timed = median(each[end] - each[begin] for each in found["samples"]["chronovisor"])
        assert 0 < bare < SECONDS
        assert supervised == pytest.approx(timed)
        assert measures[name]["reached"] is GOALS[name](bare, supervised)
    assert [each["at_once"] for each in found["paused"]] == [1, 8]
    for each in found["paused"]:
        ours, theirs = (
            [seconds for batch in each[who] for seconds in batch["each_s"]]
            for who in ("chronovisor", "libvirt")
        )
        assert each["chronovisor_median"] == median(ours) > 0
        assert len(theirs) == (0 if found["without_libvirt"] else each["at_once"])
        assert each["libvirt_median"] == (median(theirs) if theirs else None)
    assert left(scratch) == []


@pytest.mark.parametrize("moment", ["warming up", "round 1"])
def test_an_interrupt_leaves_no_process_and_no_file(
    scratch: Path, guest_dir: Path, moment: str
) -> None:
    with start(scratch, guest_dir) as bench:
        assert bench.stderr is not None
        for line in bench.stderr:
            if moment in line:
                break
        assert processes(scratch) != []
        bench.send_signal(signal.SIGINT)
        printed, said = bench.communicate(timeout=SECONDS)
    assert (bench.returncode, printed, said) == (130, "", "")
    assert left(scratch) == []


def test_a_directory_without_a_guest_is_refused_with_the_command_that_builds_one(
    scratch: Path,
) -> None:
    with start(scratch, scratch) as bench:
        _, said = bench.communicate(timeout=SECONDS)
    assert bench.returncode == 1
    assert f"chronovisor guest build --directory {scratch}" in said
