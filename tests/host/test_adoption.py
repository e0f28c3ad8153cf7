"""What proves that a process is the launch's, tried on stand-ins that hold the same locks."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.host.adoption import Found, find_process, lock_is_held, pidfile_owner
from supervisor.host.process import Process, start_ticks
from supervisor.host.sockets import connect, listen
from supervisor.host.spawn import spawn
from supervisor.vm import layout
from supervisor.vm.effects import ProcessSignal, Reattach
from supervisor.vm.observations import (
    HostRebooted,
    NeverSpawned,
    ProcessExited,
    ProcessIdentity,
    ProcessSilent,
)

BOOT_ID = "this boot"
STAND_IN = """
import fcntl, os, sys, time
if sys.argv[1:]:
    pidfile = open(sys.argv[1], "w")
    fcntl.lockf(pidfile, fcntl.LOCK_EX)
    print(os.getpid(), file=pidfile, flush=True)
print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""


class StandIn:
    """A process with the launch's lock, and with a locked pidfile when it is told to."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        argv = (sys.executable, "-c", STAND_IN, *arguments)
        self.process: Process = spawn(directory, argv, BOOT_ID)
        self.identity = self.process.identity

    async def end(self) -> None:
        self.process.send(ProcessSignal.KILL)
        await self.process.wait_exited()
        self.process.close()


@pytest.fixture
async def stand_in(tmp_path: Path) -> AsyncIterator[StandIn]:
    stand_in = StandIn(tmp_path, str(tmp_path / layout.PIDFILE))
    with trio.fail_after(20):
        while pidfile_owner(tmp_path) is None:
            await trio.lowlevel.checkpoint()
    yield stand_in
    await stand_in.end()


def order(directory: Path, process: ProcessIdentity | None) -> Reattach:
    return Reattach(1, str(directory), "uuid", process, 4096)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "unrecorded"])
async def test_each_proof_is_named(tmp_path: Path, stand_in: StandIn, recorded: bool) -> None:  # noqa: FBT001
    known = stand_in.identity if recorded else None
    found = await find_process(order(tmp_path, known), BOOT_ID)
    assert isinstance(found, Found)
    found.process.close()
    assert found.process.identity == stand_in.identity
    start = [f"start time {stand_in.identity.start_ticks}"] if recorded else []
    pidfile = f"pidfile locked by process {stand_in.identity.pid}"
    assert list(found.evidence) == ["launch lock held", *start, pidfile]


async def test_another_boot_is_seen_before_anything_else(tmp_path: Path) -> None:
    before = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), "another boot")
    assert await find_process(order(tmp_path, before), BOOT_ID) == HostRebooted(1)


async def test_a_pid_that_was_reused_is_no_proof(tmp_path: Path) -> None:
    ours = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT_ID)
    assert isinstance(await find_process(order(tmp_path, ours), BOOT_ID), ProcessExited)


async def test_a_later_process_with_the_same_pid_is_not_adopted(
    tmp_path: Path, stand_in: StandIn
) -> None:
    earlier = msgspec.structs.replace(stand_in.identity, start_ticks=1)
    seen = await find_process(order(tmp_path, earlier), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert "another one than was spawned" in seen.detail


async def test_a_stranger_is_not_adopted_while_the_launch_lives(
    tmp_path: Path, stand_in: StandIn
) -> None:
    stranger = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT_ID)
    seen = await find_process(order(tmp_path, stranger), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert f"belongs to process {stand_in.identity.pid}" in seen.detail


async def test_a_launch_without_a_pidfile_is_alive_but_unproven(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    stand_in = StandIn(tmp_path)
    seen = await find_process(order(tmp_path, None), BOOT_ID)
    await stand_in.end()
    assert isinstance(seen, ProcessSilent)
    assert "pidfile" in seen.detail


async def test_a_killed_process_frees_its_locks_and_is_gone(
    tmp_path: Path, stand_in: StandIn
) -> None:
    stand_in.process.send(ProcessSignal.KILL)
    await trio.lowlevel.wait_readable(stand_in.process._pidfd)
    assert not lock_is_held(tmp_path)
    seen = await find_process(order(tmp_path, stand_in.identity), BOOT_ID)
    assert isinstance(seen, ProcessExited)
    assert seen.evidence.signal == 9, "our own child's status is still to be had"
    assert "ready" in seen.evidence.stderr


async def test_a_stale_pidfile_says_that_there_was_a_process(tmp_path: Path) -> None:
    (tmp_path / layout.PIDFILE).write_text("4242\n")
    seen = await find_process(order(tmp_path, None), BOOT_ID)
    assert isinstance(seen, ProcessExited)
    assert (seen.evidence.exit_code, seen.evidence.signal) == (None, None)


@pytest.mark.parametrize("pidfile", [None, "", "garbage", "-"])
async def test_an_intent_that_left_nothing_was_never_spawned(
    tmp_path: Path, pidfile: str | None
) -> None:
    if pidfile is not None:
        (tmp_path / layout.PIDFILE).write_text(pidfile)
    assert await find_process(order(tmp_path, None), BOOT_ID) == NeverSpawned(1)


async def test_sockets_work_in_directories_with_long_names(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 200)
    directory.mkdir()
    with listen(directory, "qmp.sock") as listener:
        assert (directory / "qmp.sock").stat().st_mode & 0o777 == 0o600
        async with await connect(directory, "qmp.sock") as stream:
            accepted, _ = listener.accept()
            with accepted:
                accepted.send(b"x")
                assert await stream.receive_some() == b"x"
    with pytest.raises(ConnectionRefusedError):
        await connect(directory, "qmp.sock")


def test_a_process_that_is_not_there_has_no_start() -> None:
    with pytest.raises(ProcessLookupError):
        start_ticks(2**22 + 1)
