"""What a QEMU starts with, told by a program that looks at itself."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from supervisor.host.spawn import _our_child, spawn
from supervisor.vm import layout
from tests.host.test_logs import limited

LOOK_AT_ITSELF = ("/bin/cat", "/proc/self/status")


@pytest.fixture
def deaf_to_ctrl_c() -> Iterator[None]:
    """What a shell does to a job in its background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


async def test_qemu_ignores_no_signal_that_the_launcher_does_not_mean_it_to(
    tmp_path: Path, deaf_to_ctrl_c: None
) -> None:
    ours = ignored(Path("/proc/self/status"))
    assert {signal.SIGINT, signal.SIGPIPE} <= ours, "else this would show nothing"
    process = spawn(tmp_path, LOOK_AT_ITSELF, "boot")
    with trio.fail_after(20):
        assert (await process.wait_exited()).exit_code == 0
    process.close()
    assert ignored(tmp_path / layout.STDERR_LOG) == {signal.SIGPIPE, signal.SIGXFSZ}


def test_what_cannot_be_attended_to_does_not_run() -> None:
    pid = os.posix_spawn("/bin/sleep", ("sleep", "60"), {})
    with (
        limited(resource.RLIMIT_NOFILE, 3),
        pytest.raises(OSError, match="Too many open files"),
    ):
        _our_child(pid, "boot")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # not even a zombie


def ignored(status: Path) -> set[int]:
    """Return the signals that a process ignores (proc(5), status, SigIgn), save those of libc."""
    lines = status.read_text().splitlines()
    (mask,) = [int(text[7:], 16) for text in lines if text.startswith("SigIgn:")]
    return {number for number in signal.valid_signals() if mask >> (number - 1) & 1}
