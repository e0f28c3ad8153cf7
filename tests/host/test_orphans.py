"""Processes that look like launches of ours, and which of them may be ended."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from supervisor.host.orphans import Claim, Orphan, end, is_proven, survivors, suspects
from supervisor.host.process import Process, start_ticks
from supervisor.host.spawn import spawn
from supervisor.vm import layout
from supervisor.vm.effects import ProcessSignal
from supervisor.vm.observations import ProcessIdentity
from supervisor.vm.qemu_argv import launch_uuid

SLEEPS = "import sys, time; print('ready', file=sys.stderr, flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPS
STRANGERS_UUID = "11111111-2222-5333-8444-555555555555"

Start = Callable[..., Process]


@pytest.fixture
def vms(tmp_path: Path) -> Path:
    return tmp_path / "vms"


@pytest.fixture
def start(vms: Path) -> Iterator[Start]:
    """Start a process that says it is a machine, and holds the lock of a directory."""
    processes: list[Process] = []

    def started(directory: Path, uuid: str, code: str = SLEEPS) -> Process:
        directory.mkdir(parents=True)
        argv = (sys.executable, "-c", code, "-uuid", uuid)
        processes.append(spawn(directory, argv, "boot"))
        give_up = time.monotonic() + 60
        while b"ready" not in (directory / layout.STDERR_LOG).read_bytes():
            assert time.monotonic() < give_up
            os.sched_yield()
        return processes[-1]

    yield started
    for process in processes:
        process.send(ProcessSignal.KILL)
        process.close()


def launch_of(vms: Path, start: Start, code: str = SLEEPS) -> Process:
    return start(vms / "iris" / "launch-2", launch_uuid("iris", 2), code)


def one(vms: Path, known: dict[str, Claim] | None = None) -> Orphan:
    (orphan,) = suspects(vms, lambda: known or {})
    return orphan


def test_a_launch_of_ours_is_known_by_its_uuid_and_its_lock(vms: Path, start: Start) -> None:
    process = launch_of(vms, start)
    orphan = one(vms)
    assert (orphan.pid, orphan.vm_id, orphan.launch) == (process.identity.pid, "iris", 2)
    assert "holds the launch's lock" in orphan.evidence
    assert is_proven(orphan, vms)


def test_a_uuid_that_the_log_knows_is_seen_wherever_its_files_lie(vms: Path, start: Start) -> None:
    claim = Claim(f"iris-{os.getpid()}", 1)  # which no other test says that it is
    uuid = launch_uuid(claim.vm_id, claim.launch)
    start(vms.parent / "elsewhere" / "launch-1", uuid)
    assert list(suspects(vms, dict)) == []
    orphan = one(vms, {uuid: claim})
    assert orphan.claim == claim
    assert not is_proven(orphan, vms)


@pytest.mark.parametrize(
    ("place", "uuid"),
    [("iris/launch-2", STRANGERS_UUID), ("iris/launch-2", launch_uuid("iris", 1))],
    ids=["a stranger's uuid", "another launch's uuid"],
)
def test_a_lock_without_its_launchs_uuid_is_no_launch_of_ours(
    vms: Path, start: Start, place: str, uuid: str
) -> None:
    start(vms / place, uuid)
    assert not is_proven(one(vms), vms)


@pytest.mark.parametrize("place", ["odd", "iris/odd", "iris/launch-x", "iris/launch-1/odd"])
def test_a_lock_in_an_odd_place_claims_no_launch(vms: Path, start: Start, place: str) -> None:
    start(vms / place, STRANGERS_UUID)
    assert one(vms).claim is None


def test_a_lock_that_was_replaced_proves_nothing(vms: Path, start: Start) -> None:
    launch_of(vms, start)
    orphan = one(vms)
    shutil.rmtree(vms / "iris")
    (vms / "iris" / "launch-2").mkdir(parents=True)
    (vms / "iris" / "launch-2" / layout.LOCK).touch()
    assert not is_proven(orphan, vms)


@pytest.mark.parametrize("kind", ["a link to itself", "a file in its directory's place"])
def test_what_is_odd_in_the_place_of_a_lock_proves_nothing(
    vms: Path, start: Start, kind: str
) -> None:
    launch_of(vms, start)
    orphan = one(vms)
    lock = vms / "iris" / "launch-2" / layout.LOCK
    if kind == "a link to itself":
        lock.unlink()
        lock.symlink_to(lock)
    else:
        shutil.rmtree(lock.parent)
        lock.parent.touch()
    assert not is_proven(orphan, vms)


def test_a_recorded_process_that_lives_is_seen_whatever_it_hides(vms: Path) -> None:
    with subprocess.Popen(("/bin/sleep", "60")) as hidden:
        process = ProcessIdentity(hidden.pid, start_ticks(hidden.pid), "boot")
        (orphan,) = survivors(vms, {process: Claim("iris", 2)})
        another = msgspec.structs.replace(process, start_ticks=process.start_ticks - 1)
        assert list(survivors(vms, {another: Claim("iris", 2)})) == []
        hidden.kill()
        os.waitid(os.P_PID, hidden.pid, os.WEXITED | os.WNOWAIT)
        assert list(survivors(vms, {process: Claim("iris", 2)})) == [], "a zombie is dead"
    assert (orphan.pid, orphan.claim) == (hidden.pid, Claim("iris", 2))
    assert orphan.evidence == (f"runs as user {os.geteuid()}", f"start time {process.start_ticks}")
    assert not is_proven(orphan, vms)


@pytest.mark.parametrize(
    ("code", "signal"), [(SLEEPS, "SIGTERM"), (DEAF, "SIGKILL")], ids=["hears", "deaf"]
)
async def test_a_proven_one_is_ended_gently_first(
    vms: Path, start: Start, code: str, signal: str
) -> None:
    launch_of(vms, start, code)
    assert await end(one(vms), vms) == signal
    assert list(suspects(vms, dict)) == []


async def test_nothing_is_ended_that_is_not_proven_at_that_moment(vms: Path, start: Start) -> None:
    launch_of(vms, start)
    orphan = one(vms)
    shutil.rmtree(vms / "iris")
    assert await end(orphan, vms) == ""
    assert len(list(suspects(vms, dict))) == 1
