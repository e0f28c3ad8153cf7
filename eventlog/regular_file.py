"""Opening a file that others may have put there: never through a link, never waiting for anybody.

A FIFO in the place of a file would keep its reader waiting for ever.
"""

import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Regular files do not mind O_NONBLOCK; a FIFO opens at once, or not at all."""

_OTHERS = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""What opening a link, a FIFO or socket without a peer, or a directory for writing comes to."""


class NotRegular(OSError):
    """There is something else of that name: a link, a directory, a FIFO, a socket, a device."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file", str(path))


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Return a descriptor of a regular file. Raises NotRegular and what os.open raises."""
    try:
        descriptor = os.open(path, flags | _FLAGS, mode)
    except OSError as error:
        if error.errno in _OTHERS:
            raise NotRegular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(path)
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """Return at most ``limit`` bytes from a file's beginning. Raises as :func:`open_regular`."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(limit)
