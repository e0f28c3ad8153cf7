"""Finding the QEMU of a launch again, and proving that it is the one before it is touched.

A process is adopted when it is the one that was recorded (PID, start time, boot), or the one that
holds QEMU's lock on the pidfile, or whose command line names the launch's UUID, and when it has the
launch's lock or that UUID. The UUID is no proof where the process has another launch's lock: a VM
of another daemon may have the same name. Whatever contradicts this leaves it untouched: proven
alive but not proven ours is silence, never death, and so is what cannot be looked at. A QEMU that
was broken into can let go of its locks and change its words, but not when it started. Over QMP,
:class:`supervisor.host.contact.Contact` adds the socket's peer and ``query-uuid``.
"""

import os
import signal
from pathlib import Path
from typing import Never

import msgspec
import trio

from supervisor.host import proc
from supervisor.host.last_words import exit_evidence
from supervisor.host.locks import lock_is_held, pidfile_owner, pidfile_was_written
from supervisor.host.process import ExitStatus, Process, open_pidfd, reap, start_ticks
from supervisor.vm import layout
from supervisor.vm.effects import Reattach
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import (
    HostRebooted,
    NeverSpawned,
    ProcessExited,
    ProcessIdentity,
    ProcessSilent,
)

DOUBT_S = 2.0
"""A process that was just started has no pidfile yet, nor its own command line; one that was just
killed has let go of its files and not yet of its PID. Both take milliseconds on an idle host."""
DOUBT_STEP_S = 0.05


class Found(msgspec.Struct, frozen=True):
    """The launch's own process, with what proves it."""

    process: Process
    evidence: tuple[str, ...]


Missing = HostRebooted | NeverSpawned | ProcessExited | ProcessSilent


class NotProven(Exception):
    """Something of the launch lives, but this process is not proven to be it."""


class Gone(Exception):
    """There is no such process any more, or it is not the launch's at all."""


async def find_process(order: Reattach, boot_id: str) -> Found | Missing:
    """Return the launch's process, or the observation that says why there is none."""
    directory = Path(order.directory)
    if order.process is not None and order.process.boot_id != boot_id:
        return HostRebooted(order.launch)
    give_up = trio.current_time() + DOUBT_S
    while True:
        try:
            return await _look(order, directory, boot_id)
        except (NotProven, OSError) as doubt:
            if trio.current_time() >= give_up:
                return ProcessSilent(order.launch, str(doubt))
        await trio.sleep(DOUBT_STEP_S)


async def _look(order: Reattach, directory: Path, boot_id: str) -> Found | Missing:
    try:
        pid = await _pid_of(order, directory)
        return _prove(order, directory, pid, boot_id)
    except Gone:
        return _gone(order, directory)


async def _pid_of(order: Reattach, directory: Path) -> int:
    if order.process is not None:
        return order.process.pid
    if (pid := pidfile_owner(directory)) is not None:
        return pid
    named = await trio.to_thread.run_sync(_named, directory, order.uuid)
    if len(named) == 1:
        return named[0]
    if named:
        raise NotProven(f"processes {', '.join(map(str, named))} all name the launch's UUID")
    if lock_is_held(directory):
        raise NotProven("the launch's lock is held, but no QEMU has its pidfile or its UUID")
    raise Gone


def _named(directory: Path, uuid: str) -> list[int]:
    """Return who names the UUID and is ours: a command line alone is written by anybody."""
    lock = directory / layout.LOCK
    return [
        seen.pid
        for seen in proc.machines()
        if seen.machine_uuid == uuid and _is_ours(seen.pid, lock)
    ]


def _is_ours(pid: int, lock: Path) -> bool:
    opened = proc.opened_path(pid, InheritedFd.LOCK) or ""
    if opened == os.path.realpath(lock):
        return True
    return proc.owner(pid) == os.geteuid() and not _is_of_another(pid, Path(opened), lock)


def _is_of_another(pid: int, opened: Path, lock: Path) -> bool:
    """Return whether it is of another daemon, whose VM of the same name gives the same UUID."""
    elsewhere = opened.name == layout.LOCK and proc.has_open(pid, InheritedFd.LOCK, opened) is True
    return elsewhere and not proc.has_open(pid, InheritedFd.LOCK, lock)


def _prove(order: Reattach, directory: Path, pid: int, boot_id: str) -> Found:
    try:
        pidfd = open_pidfd(pid)  # first: from here on the PID cannot come to mean another
    except ProcessLookupError:
        return _refuse_the_dead(directory, f"process {pid} is gone")
    try:
        ticks = _start_of(order, directory, pidfd, pid)
        evidence = _evidence(order, directory, pid)
        _check_in_reach(pidfd, pid)
    except BaseException:
        os.close(pidfd)
        raise
    started = f"start time {ticks} of boot {boot_id}"
    return Found(Process(ProcessIdentity(pid, ticks, boot_id), pidfd), (started, *evidence))


def _start_of(order: Reattach, directory: Path, pidfd: int, pid: int) -> int:
    try:
        ticks = start_ticks(pid)
    except ProcessLookupError:
        return _refuse_the_dead(directory, f"process {pid} is gone")
    if proc.has_ended(pidfd):
        return _refuse_the_dead(directory, f"process {pid} is a zombie")
    if order.process is not None and order.process.start_ticks != ticks:
        return _refuse_the_dead(directory, f"process {pid} is another one than was spawned")
    return ticks


def _refuse_the_dead(directory: Path, why: str) -> Never:
    if lock_is_held(directory):
        raise NotProven(f"the launch's lock is held, but {why}")
    raise Gone


def _evidence(order: Reattach, directory: Path, pid: int) -> tuple[str, ...]:
    owner = pidfile_owner(directory)
    if owner not in (None, pid):
        raise NotProven(f"the launch's pidfile belongs to process {owner}, not {pid}")
    named = _names_uuid(pid, order.uuid)
    lock = _lock_evidence(directory, pid)
    if not lock and not named:
        _refuse_the_unmarked(order, pid)
    pidfile = (f"pidfile locked by process {pid}",) if owner else ()
    return (*lock, *pidfile, *named)


def _refuse_the_unmarked(order: Reattach, pid: int) -> Never:
    if order.process is not None:  # it started when that one did: no other can have its PID
        raise NotProven(
            f"process {pid} is the one that was spawned, and lives, but has neither the launch's "
            "lock nor its UUID; if it is no use any more, end it yourself"
        )
    raise Gone


def _names_uuid(pid: int, uuid: str) -> tuple[str, ...]:
    if proc.Seen(pid, proc.command_line(pid)).machine_uuid != uuid:
        return ()
    return (f"command line names {uuid}",)


def _lock_evidence(directory: Path, pid: int) -> tuple[str, ...]:
    if not lock_is_held(directory):
        lock = os.path.realpath(directory / layout.LOCK)
        had = proc.opened_path(pid, InheritedFd.LOCK) == lock
        return (f"launch lock, since deleted, open in process {pid}",) if had else ()
    match proc.has_open(pid, InheritedFd.LOCK, directory / layout.LOCK):
        case True:
            return (f"launch lock held by process {pid}",)
        case None:  # not ours to look into; that the lock is held still says that the launch lives
            return ("launch lock held",)
        case False:
            raise NotProven(f"the launch's lock is held, but not by process {pid}")


def _check_in_reach(pidfd: int, pid: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except PermissionError:
        raise NotProven(
            f"process {pid} lives, but belongs to another user: start the daemon as the user that "
            "started it"
        ) from None
    except ProcessLookupError:
        raise Gone from None


def _gone(order: Reattach, directory: Path) -> NeverSpawned | ProcessExited:
    if order.process is None and not pidfile_was_written(directory):
        return NeverSpawned(order.launch)
    status = _status_of_our_child(order.process) if order.process else ExitStatus()
    return ProcessExited(order.launch, exit_evidence(status, directory))


def _status_of_our_child(process: ProcessIdentity) -> ExitStatus:
    """The process may have been our child all along, and wait to be reaped."""
    try:
        pidfd = open_pidfd(process.pid)
    except ProcessLookupError:
        return ExitStatus()
    try:
        ours = start_ticks(process.pid) == process.start_ticks
        return reap(pidfd) if ours else ExitStatus()
    except ProcessLookupError:
        return ExitStatus()
    finally:
        os.close(pidfd)
