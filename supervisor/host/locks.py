"""The two locks by which a launch is known to live; the kernel frees them however QEMU dies.

launch lock     an flock on a descriptor that only this QEMU inherited
pidfile lock    QEMU's own record lock on its pidfile; the kernel says who holds it
"""

import fcntl
import os
import struct
from pathlib import Path

from supervisor.vm import layout

PIDFILE_BYTES = 32


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
    return lock_owner(directory / layout.PIDFILE)


def lock_owner(path: Path) -> int | None:
    """Return the PID of a process that holds a record lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        # struct flock of fcntl(2): type, whence, start, length, pid.
        request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    finally:
        os.close(descriptor)
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


def pidfile_was_written(directory: Path) -> bool:
    """Return whether a QEMU once ran: it writes its PID there, which by now may be a stranger's."""
    try:
        descriptor = os.open(directory / layout.PIDFILE, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        return file.read(PIDFILE_BYTES).strip().isdigit()
