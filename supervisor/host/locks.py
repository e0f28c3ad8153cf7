"""The two locks by which a launch is known to live; the kernel frees them however QEMU dies.

launch lock     an flock on a descriptor that only this QEMU inherited
pidfile lock    QEMU's own record lock on its pidfile; the kernel says who holds it

A file that is not there says that nobody holds its lock. Whatever else keeps us from opening it,
such as a pipe in its place, is an OSError: it says nothing, and must not be taken for an end.
"""

import fcntl
import os
import struct
from pathlib import Path

from supervisor.host.private_file import open_private
from supervisor.vm import layout

PIDFILE_BYTES = 32


def lock_is_held(directory: Path) -> bool:
    """Return whether a process has the launch's lock: that launch lives. Raises OSError."""
    if (descriptor := _opened(directory / layout.LOCK)) is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def pidfile_owner(directory: Path) -> int | None:
    """Return the PID of the process that holds the lock on QEMU's pidfile. Raises OSError."""
    if (descriptor := _opened(directory / layout.PIDFILE)) is None:
        return None
    try:
        return lock_owner(descriptor)
    finally:
        os.close(descriptor)


def lock_owner(descriptor: int) -> int | None:
    """Return the PID of a process that holds a record lock on an open file. Raises OSError."""
    # struct flock of fcntl(2): type, whence, start, length, pid.
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


def pidfile_was_written(directory: Path) -> bool:
    """Return whether a QEMU once ran: it writes its PID there, which by now may be a stranger's.

    Raises OSError.
    """
    if (descriptor := _opened(directory / layout.PIDFILE)) is None:
        return False
    with os.fdopen(descriptor, "rb") as file:
        return file.read(PIDFILE_BYTES).strip().isdigit()


def _opened(path: Path) -> int | None:
    try:
        return open_private(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):  # nor is there a file below another file
        return None
