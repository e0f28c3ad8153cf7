"""What proves that a process is the launch's, tried on stand-ins that hold the same locks."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.host.adoption import Found, find_process
from supervisor.host.locks import lock_is_held, pidfile_owner
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
NOBODY = 65534
UUID = str(uuid.uuid4())
"""Nobody else's: whoever says on this host that it is this machine may be taken for ours."""
STAND_IN = """
import fcntl, os, sys, time
if sys.argv[1] != "-uuid":
    pidfile = open(sys.argv[1], "w")
    fcntl.lockf(pidfile, fcntl.LOCK_EX)
    print(os.getpid(), file=pidfile, flush=True)
print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""


class StandIn:
    """A process with the launch's lock, and with a locked pidfile when it is told to."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        argv = (sys.executable, "-c", STAND_IN, *arguments, "-uuid", UUID)
        self.process: Process = spawn(directory, argv, BOOT_ID)
        self.identity = self.process.identity

    def awake(self, directory: Path) -> None:
        """Wait until it runs its own program, under its own command line."""
        give_up = time.monotonic() + 60
        while b"ready" not in (directory / layout.STDERR_LOG).read_bytes():
            assert time.monotonic() < give_up, "the stand-in does not start"
            os.sched_yield()

    async def end(self) -> None:
        self.process.send(ProcessSignal.KILL)
        await self.process.wait_exited()
        self.process.close()


@pytest.fixture
async def stand_in(tmp_path: Path) -> AsyncIterator[StandIn]:
    stand_in = StandIn(tmp_path, str(tmp_path / layout.PIDFILE))
    stand_in.awake(tmp_path)
    assert pidfile_owner(tmp_path) == stand_in.identity.pid
    yield stand_in
    await stand_in.end()


def order(directory: Path, process: ProcessIdentity | None) -> Reattach:
    return Reattach(1, str(directory), UUID, process, 4096)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "unrecorded"])
async def test_each_proof_is_named(tmp_path: Path, stand_in: StandIn, recorded: bool) -> None:  # noqa: FBT001
    known = stand_in.identity if recorded else None
    found = await find_process(order(tmp_path, known), BOOT_ID)
    assert isinstance(found, Found)
    found.process.close()
    assert found.process.identity == stand_in.identity
    pid, ticks = stand_in.identity.pid, stand_in.identity.start_ticks
    assert found.evidence == (
        f"start time {ticks} of boot {BOOT_ID}",
        f"launch lock held by process {pid}",
        f"pidfile locked by process {pid}",
        f"command line names {UUID}",
    )


async def test_another_boot_is_seen_before_anything_else(tmp_path: Path) -> None:
    before = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), "another boot")
    assert await find_process(order(tmp_path, before), BOOT_ID) == HostRebooted(1)


@pytest.mark.fault("pid-reused")
async def test_a_pid_that_was_reused_is_no_proof(tmp_path: Path) -> None:
    reused = ProcessIdentity(os.getpid(), start_ticks(os.getpid()) - 1, BOOT_ID)
    assert isinstance(await find_process(order(tmp_path, reused), BOOT_ID), ProcessExited)


@pytest.mark.fault("runs-twice")
async def test_the_process_that_was_spawned_is_not_gone_while_it_lives_whatever_it_hides(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    spawned = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT_ID)
    seen = await find_process(order(tmp_path, spawned), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert f"process {os.getpid()} is the one that was spawned, and lives" in seen.detail


def a_link(path: Path) -> None:
    path.with_name("elsewhere").touch()
    path.symlink_to("elsewhere")


def a_second_name(path: Path) -> None:
    path.with_name("elsewhere").touch()
    path.hardlink_to(path.with_name("elsewhere"))


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


ODD = (a_link, a_second_name, a_socket, os.mkfifo, os.mkdir)


@pytest.mark.fault("one-blocks-all")
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "unrecorded"])
@pytest.mark.parametrize("name", [layout.LOCK, layout.PIDFILE])
@pytest.mark.parametrize("put", ODD, ids=lambda put: put.__name__)
async def test_something_odd_in_the_place_of_a_lock_is_doubt_and_keeps_nobody_waiting(
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    put: Callable[[Path], object],
    name: str,
    recorded: bool,  # noqa: FBT001
) -> None:
    put(tmp_path / name)
    alive = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT_ID)
    seen = await find_process(order(tmp_path, alive if recorded else None), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert str(tmp_path / name) in seen.detail


async def test_an_end_is_seen_where_a_file_lies_in_the_directorys_place(tmp_path: Path) -> None:
    (tmp_path / "vm").touch()
    gone = ProcessIdentity(2**22 + 1, 1, BOOT_ID)
    assert isinstance(await find_process(order(tmp_path / "vm", gone), BOOT_ID), ProcessExited)


@pytest.mark.fault("pid-reused")
async def test_a_later_process_with_the_same_pid_is_not_adopted(
    tmp_path: Path, stand_in: StandIn
) -> None:
    earlier = msgspec.structs.replace(stand_in.identity, start_ticks=1)
    seen = await find_process(order(tmp_path, earlier), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert "another one than was spawned" in seen.detail


@pytest.mark.fault("pid-reused")
async def test_a_stranger_is_not_adopted_while_the_launch_lives(
    tmp_path: Path, stand_in: StandIn
) -> None:
    stranger = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT_ID)
    seen = await find_process(order(tmp_path, stranger), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert f"belongs to process {stand_in.identity.pid}" in seen.detail


async def test_a_process_that_does_not_hold_the_lock_is_not_adopted(
    tmp_path: Path, stand_in: StandIn
) -> None:
    (tmp_path / layout.PIDFILE).unlink()
    stranger = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT_ID)
    seen = await find_process(order(tmp_path, stranger), BOOT_ID)
    assert isinstance(seen, ProcessSilent)
    assert f"not by process {os.getpid()}" in seen.detail


@pytest.mark.parametrize("pidfile", [None, "1", str(os.getpid())], ids=["none", "init's", "ours"])
async def test_an_unrecorded_launch_is_found_by_its_command_line(
    tmp_path: Path, autojump_clock: trio.abc.Clock, pidfile: str | None
) -> None:
    if pidfile is not None:
        (tmp_path / layout.PIDFILE).write_text(pidfile)
    stand_in = StandIn(tmp_path)
    stand_in.awake(tmp_path)
    found = await find_process(order(tmp_path, None), BOOT_ID)
    await stand_in.end()
    assert isinstance(found, Found)
    found.process.close()
    assert found.process.identity == stand_in.identity
    assert f"command line names {UUID}" in found.evidence


async def test_a_launch_of_the_same_name_in_another_state_directory_is_not_ours(
    tmp_path: Path, stand_in: StandIn
) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    assert await find_process(order(ours, None), BOOT_ID) == NeverSpawned(1)
    (ours / layout.LOCK).touch()
    assert await find_process(order(ours, None), BOOT_ID) == NeverSpawned(1)


@pytest.mark.fault("runs-twice")
async def test_a_lock_that_no_qemu_holds_is_doubt_and_not_death(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    with (tmp_path / layout.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = await find_process(order(tmp_path, None), BOOT_ID)
        assert isinstance(seen, ProcessSilent)
        gone = ProcessIdentity(2**22 + 1, 1, BOOT_ID)
        assert isinstance(await find_process(order(tmp_path, gone), BOOT_ID), ProcessSilent)
    assert isinstance(await find_process(order(tmp_path, gone), BOOT_ID), ProcessExited)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "unrecorded"])
async def test_a_launch_whose_directory_was_deleted_is_still_alive(
    tmp_path: Path,
    autojump_clock: trio.abc.Clock,
    recorded: bool,  # noqa: FBT001
) -> None:
    directory = tmp_path / "launch-1"
    directory.mkdir()
    stand_in = StandIn(directory)
    stand_in.awake(directory)
    shutil.rmtree(directory)
    found = await find_process(order(directory, stand_in.identity if recorded else None), BOOT_ID)
    await stand_in.end()
    assert isinstance(found, Found)
    found.process.close()
    assert found.process.identity == stand_in.identity
    assert f"command line names {UUID}" in found.evidence
    pid = stand_in.identity.pid
    assert f"launch lock, since deleted, open in process {pid}" in found.evidence


@pytest.mark.fault("eperm-is-dead")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a process of another user")
async def test_a_process_of_another_user_is_alive_and_not_ours() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        stand_in = StandIn(directory)
        stand_in.awake(directory)
        for path in (directory, directory / layout.LOCK, directory / layout.PIDFILE):
            os.chown(path, NOBODY, NOBODY)
        seen = await trio.to_thread.run_sync(_as_another_user, order(directory, stand_in.identity))
        await stand_in.end()
    assert "ProcessSilent" in seen
    assert "belongs to another user" in seen


def _as_another_user(wanted: Reattach) -> str:
    """Look for a process from a child that gave up its rights; return what it found."""
    code = (
        "import os, sys, trio, msgspec;"
        "from supervisor.host.adoption import find_process;"
        "from supervisor.vm.effects import Reattach;"
        "wanted = msgspec.json.decode(sys.argv[1], type=Reattach);"
        ""
        f"os.setgid({NOBODY}); os.setuid({NOBODY});"
        f"print(trio.run(find_process, wanted, {BOOT_ID!r}))"
    )
    asked = msgspec.json.encode(wanted).decode()
    return subprocess.run(
        [sys.executable, "-c", code, asked], capture_output=True, text=True, check=True, timeout=60
    ).stdout


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


@pytest.mark.fault("pid-reused")
async def test_a_number_that_is_now_a_threads_is_nobodys(tmp_path: Path) -> None:
    number: int = await trio.to_thread.run_sync(threading.get_native_id)
    reused = ProcessIdentity(number, start_ticks(number), BOOT_ID)
    assert isinstance(await find_process(order(tmp_path, reused), BOOT_ID), ProcessExited)


def test_a_process_that_is_not_there_has_no_start() -> None:
    with pytest.raises(ProcessLookupError):
        start_ticks(2**22 + 1)
