"""Files that belong to the daemon's user alone, whatever its umask.

QEMU may have been broken into. What it could put in the place of one of our files must not make us
read or cut another: a link of either kind, a pipe that nobody fills, somebody else's file.
"""

import os
import stat
from pathlib import Path


class NotOurFile(OSError):
    """Something else lies where a file of ours should."""


def private_file(path: str, flags: int) -> int:
    """Open a file for :func:`open`, never through a link; a new one has mode 0600.

    Raises NotOurFile or another OSError.
    """
    return open_private(Path(path), flags)


def open_private(path: Path, flags: int) -> int:
    """The same, by flags of open(2)."""
    # A pipe would keep us waiting; for files O_NONBLOCK says nothing.
    always = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    # Truncated only once it is known what is truncated.
    descriptor = os.open(path, flags & ~os.O_TRUNC | always, mode=0o600)
    try:
        _check(path, os.fstat(descriptor))
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotOurFile(f"{path} is no regular file")
    if status.st_nlink > 1:
        raise NotOurFile(f"{path} has another name as well")
    if status.st_uid != os.geteuid():
        raise NotOurFile(f"{path} belongs to another user (uid {status.st_uid})")
