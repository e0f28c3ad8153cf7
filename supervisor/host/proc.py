"""What the kernel tells of other processes, in proc(5): who they are, and what they hold.

A process may end between two looks at it. What is gone, or not ours to see, is passed over here;
whoever acts on a process opens a pidfd first and looks again (:mod:`supervisor.host.adoption`).
"""

import os
import select
from collections.abc import Iterator
from pathlib import Path

import msgspec

PROC = Path("/proc")
COMMAND_LINE_BYTES = 64 * 1024
"""Of a command line: one of ours has 3 KiB, and its ``-uuid`` stands near the beginning."""
TICKS = os.sysconf("SC_CLK_TCK")
UTIME, STIME, STARTTIME = 14 - 3, 15 - 3, 22 - 3
"""Places of :func:`stat_fields`, which begins with the third field."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
DELETED = " (deleted)"
"""Follows the path of an open file that has no name any more."""


class Seen(msgspec.Struct, frozen=True):
    """A process and the words it was started with."""

    pid: int
    argv: tuple[str, ...]

    @property
    def machine_uuid(self) -> str:
        """The word that follows ``-uuid``, or nothing."""
        return next((b for a, b in zip(self.argv, self.argv[1:], strict=False) if a == "-uuid"), "")


def command_line(pid: int) -> tuple[str, ...]:
    """Return the words that a process was started with; none where it is gone or a zombie."""
    try:
        with (PROC / str(pid) / "cmdline").open("rb") as file:
            words = file.read(COMMAND_LINE_BYTES)
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in words.rstrip(b"\0").split(b"\0")) if words else ()


def machines() -> Iterator[Seen]:
    """Return every process that was started with a machine's UUID, whoever runs it."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            seen = Seen(int(entry.name), command_line(int(entry.name)))
            if seen.machine_uuid:
                yield seen


def owner(pid: int) -> int | None:
    """Return the user that a process runs as; None where it is gone."""
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def opened_path(pid: int, descriptor: int) -> str | None:
    """Return where the file lies, or lay, that a process has open there; None where unseen."""
    try:
        return os.readlink(PROC / str(pid) / "fd" / str(descriptor)).removesuffix(DELETED)
    except OSError:
        return None


def has_ended(pidfd: int) -> bool:
    """Return whether the process is dead, a zombie included (pidfd_open(2), poll)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def has_open(pid: int, descriptor: int, path: Path) -> bool | None:
    """Return whether a process has this very file open there; None where that may not be seen."""
    try:
        theirs = (PROC / str(pid) / "fd" / str(descriptor)).stat()
        ours = path.lstat()
    except PermissionError:
        return None
    except OSError:  # the process is gone, or there is no file of that name
        return False
    return os.path.samestat(theirs, ours)


def stat_fields(pid: int) -> list[bytes]:
    """Return the fields of a process's ``stat`` from the third on. Raises OSError."""
    stat = (PROC / str(pid) / "stat").read_bytes()
    # The second field is the command in parentheses, which may contain spaces and parentheses.
    return stat.rpartition(b")")[2].split()


class Used(msgspec.Struct, frozen=True):
    """What a process has used up: CPU time of its ``age_s``, and the memory that it holds now."""

    cpu_s: float
    age_s: float
    memory_bytes: int


def used(pid: int) -> Used | None:
    """Return what a process has used; None where it is gone."""
    try:
        fields = stat_fields(pid)
        pages = int((PROC / str(pid) / "statm").read_bytes().split()[1])
        uptime_s = float((PROC / "uptime").read_bytes().split()[0])
    except OSError:
        return None
    user, system, start = (int(fields[each]) / TICKS for each in (UTIME, STIME, STARTTIME))
    return Used(user + system, max(uptime_s - start, 0.0), pages * PAGE_BYTES)
