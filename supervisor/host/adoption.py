"""Finding the QEMU of a launch again, and proving that it is the one before it is touched.

The proofs, each of which QEMU gives up when it dies, however it dies:

    launch lock     an flock on a descriptor that only this QEMU inherited
    start time      of the process with the recorded PID, on the recorded boot
    pidfile lock    QEMU holds a record lock on its pidfile; the kernel says who
    query-uuid      the last one, over QMP, by :class:`supervisor.host.contact.Contact`
"""

import fcntl
import os
import struct
from pathlib import Path

import msgspec
import trio

from supervisor.host.last_words import exit_evidence
from supervisor.host.process import ExitStatus, Process, reap, start_ticks
from supervisor.vm import layout
from supervisor.vm.effects import Reattach
from supervisor.vm.observations import (
    HostRebooted,
    NeverSpawned,
    ProcessExited,
    ProcessIdentity,
    ProcessSilent,
)

PIDFILE_DEADLINE_S = 2.0
"""QEMU writes its pidfile some milliseconds after its start, which may have been just now."""
PIDFILE_STEP_S = 0.05
PIDFILE_BYTES = 32


class Found(msgspec.Struct, frozen=True):
    """The launch's own process, with what proves it."""

    process: Process
    evidence: tuple[str, ...]


Missing = HostRebooted | NeverSpawned | ProcessExited | ProcessSilent


async def find_process(order: Reattach, boot_id: str) -> Found | Missing:
    """Return the launch's process, or the observation that says why there is none."""
    directory = Path(order.directory)
    if order.process is not None and order.process.boot_id != boot_id:
        return HostRebooted(order.launch)
    pid = order.process.pid if order.process else await _pid_from_pidfile(directory)
    if not lock_is_held(directory):
        return _gone(order, pid)
    if pid is None:
        return ProcessSilent(order.launch, "QEMU runs, but it has not written its pidfile")
    return _prove(order, directory, pid, boot_id)


def lock_is_held(directory: Path) -> bool:
    """Return whether a process has the launch's lock: that launch lives."""
    try:
        descriptor = os.open(directory / layout.LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def pidfile_owner(directory: Path) -> int | None:
    """Return the PID of the process that holds the lock on QEMU's pidfile."""
    try:
        descriptor = os.open(directory / layout.PIDFILE, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        # struct flock of fcntl(2): type, whence, start, length, pid.
        request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    finally:
        os.close(descriptor)
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


async def _pid_from_pidfile(directory: Path) -> int | None:
    with trio.move_on_after(PIDFILE_DEADLINE_S):
        while lock_is_held(directory):
            if (pid := pidfile_owner(directory)) is not None:
                return pid
            await trio.sleep(PIDFILE_STEP_S)
    return _written_pid(directory)


def _written_pid(directory: Path) -> int | None:
    try:
        with (directory / layout.PIDFILE).open("rb") as file:
            return int(file.read(PIDFILE_BYTES))
    except (FileNotFoundError, ValueError):
        return None


def _prove(order: Reattach, directory: Path, pid: int, boot_id: str) -> Found | Missing:
    try:
        pidfd = os.pidfd_open(pid)  # first: from here on the PID cannot come to mean another
    except ProcessLookupError:
        return _gone(order, pid)
    try:
        ticks = start_ticks(pid)
        evidence = _evidence(order, pid, ticks, pidfile_owner(directory))
    except (ProcessLookupError, NotProven) as error:
        os.close(pidfd)
        return ProcessSilent(order.launch, str(error))
    identity = ProcessIdentity(pid, ticks, boot_id)
    return Found(Process(identity, pidfd), evidence)


class NotProven(Exception):
    """The launch lives, but this process is not proven to be it."""


def _evidence(order: Reattach, pid: int, ticks: int, owner: int | None) -> tuple[str, ...]:
    if owner not in (None, pid):
        raise NotProven(f"the launch lives, but its pidfile belongs to process {owner}, not {pid}")
    if order.process is None and owner is None:
        raise NotProven(f"the launch lives, but process {pid} does not hold its pidfile")
    if order.process is not None and order.process.start_ticks != ticks:
        raise NotProven(f"the launch lives, but process {pid} is another one than was spawned")
    started = () if order.process is None else (f"start time {ticks}",)
    written = () if owner is None else (f"pidfile locked by process {pid}",)
    return ("launch lock held", *started, *written)


def _gone(order: Reattach, pid: int | None) -> NeverSpawned | ProcessExited:
    if pid is None:
        return NeverSpawned(order.launch)
    status = _status_of_our_child(order.process) if order.process else ExitStatus()
    return ProcessExited(order.launch, exit_evidence(status, Path(order.directory)))


def _status_of_our_child(process: ProcessIdentity) -> ExitStatus:
    """The process may have been our child all along, and wait to be reaped."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return ExitStatus()
    try:
        ours = start_ticks(process.pid) == process.start_ticks
        return reap(pidfd) if ours else ExitStatus()
    except ProcessLookupError:
        return ExitStatus()
    finally:
        os.close(pidfd)
