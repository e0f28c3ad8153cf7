"""QEMU processes that look like ours, or once were recorded, and that no VM of the log has.

Such a process is ours, and may be ended, when three things agree: its command line has the UUID of
a launch, it holds that launch's own lock in our state directory, and the log says that this launch
is over. Anything less is a stranger: told, and never touched.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import trio

from supervisor.host import proc
from supervisor.host.process import open_pidfd, start_ticks
from supervisor.vm import layout
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import ProcessIdentity
from supervisor.vm.qemu_argv import launch_uuid

TERM_S = 5.0
"""QEMU flushes its disks on SIGTERM; one that is stopped or stuck gets SIGKILL after this."""
KILL_S = 5.0
"""Only an uninterruptible sleep outlives SIGKILL for longer."""


class Claim(msgspec.Struct, frozen=True):
    """The launch that a process says it is."""

    vm_id: str
    launch: int


class Orphan(msgspec.Struct, frozen=True):
    """A process without a VM. ``claim`` is None when it only has a file of ours open."""

    pid: int
    start_ticks: int
    uuid: str
    claim: Claim | None
    evidence: tuple[str, ...]

    @property
    def vm_id(self) -> str:
        """The VM that it says it is; empty for none."""
        return self.claim.vm_id if self.claim else ""

    @property
    def launch(self) -> int:
        """The launch that it says it is; 0 for none."""
        return self.claim.launch if self.claim else 0


def suspects(vms: Path, launches: Callable[[], dict[str, Claim]]) -> Iterator[Orphan]:
    """Return the machines with the UUID of one of ``launches``, or a lock open under ``vms``."""
    machines = list(proc.machines())
    known = launches() if machines else {}
    for seen in machines:
        lock = proc.opened_path(seen.pid, InheritedFd.LOCK) or ""
        claim = known.get(seen.machine_uuid, _claim_of(vms, lock))
        if claim is not None or _is_within(vms, lock):
            yield from _examined(seen, claim, vms, lock)


def survivors(vms: Path, recorded: Mapping[ProcessIdentity, Claim]) -> Iterator[Orphan]:
    """Return those of ``recorded`` that live, whatever they let go of and call themselves now."""
    for process, claim in recorded.items():
        if _lives(process):
            seen = proc.Seen(process.pid, proc.command_line(process.pid))
            lock = proc.opened_path(process.pid, InheritedFd.LOCK) or ""
            yield from _examined(seen, claim, vms, lock)


def is_proven(orphan: Orphan, vms: Path) -> bool:
    """Return whether it is certainly a launch of ours: its UUID, and that launch's very lock."""
    if (claim := orphan.claim) is None or orphan.uuid != launch_uuid(claim.vm_id, claim.launch):
        return False
    lock = vms / claim.vm_id / layout.launch_directory(claim.launch) / layout.LOCK
    return proc.has_open(orphan.pid, InheritedFd.LOCK, lock) is True


async def end(orphan: Orphan, vms: Path) -> str:
    """End a proven orphan; return the signal that did, or nothing where it cannot be ended."""
    try:
        pidfd = open_pidfd(orphan.pid)
    except ProcessLookupError:
        return ""
    try:
        # Looked at again, now that its PID cannot come to mean another process.
        if start_ticks(orphan.pid) == orphan.start_ticks and is_proven(orphan, vms):
            for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
                signal.pidfd_send_signal(pidfd, number)
                with trio.move_on_after(patience_s):
                    await trio.lowlevel.wait_readable(pidfd)
                    return number.name
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        os.close(pidfd)
    return ""


def _examined(seen: proc.Seen, claim: Claim | None, vms: Path, lock: str) -> Iterator[Orphan]:
    try:
        ticks = start_ticks(seen.pid)
    except ProcessLookupError:
        return
    user = proc.owner(seen.pid)
    evidence = [f"runs as user {user}", f"start time {ticks}"]
    if seen.machine_uuid:
        evidence.append(f"started with -uuid {seen.machine_uuid}")
    if _is_within(vms, lock):
        evidence.append(f"has {lock} open")
    orphan = Orphan(seen.pid, ticks, seen.machine_uuid, claim, tuple(evidence))
    if is_proven(orphan, vms):
        evidence.append("holds the launch's lock")
        orphan = msgspec.structs.replace(orphan, evidence=tuple(evidence))
    yield orphan


def _lives(process: ProcessIdentity) -> bool:
    try:
        pidfd = open_pidfd(process.pid)
    except ProcessLookupError:
        return False
    try:
        return start_ticks(process.pid) == process.start_ticks and not proc.has_ended(pidfd)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def _is_within(vms: Path, file: str) -> bool:
    return Path(file).is_relative_to(vms)


def _claim_of(vms: Path, lock: str) -> Claim | None:
    """Return the launch of a lock, by its path: ``<vms>/<vm_id>/launch-<n>/launch.lock``."""
    if not _is_within(vms, lock):
        return None
    match Path(lock).relative_to(vms).parts:
        case (vm_id, directory, layout.LOCK):
            number = directory.removeprefix(layout.launch_directory(0)[:-1])
            return Claim(vm_id, int(number)) if number.isdecimal() else None
    return None
