"""Unix sockets in a launch's directory, whatever the length of its path.

A socket address has 107 bytes (unix(7)); ``/proc/self/fd/N/name`` always fits.
"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

BACKLOG = 16
"""One daemon connects, and again after it lost the connection; QEMU serves one at a time."""
CONNECT_DEADLINE_S = 5.0
"""A listening socket takes a connection at once; only a full backlog makes it wait."""

_CREDENTIALS = struct.Struct("3i")


def listen(directory: Path, name: str) -> socket.socket:
    """Return a socket that listens at ``directory/name``, for this user only. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # taken over by the file that bind makes
        with _short_path(directory) as short:
            (directory / name).unlink(missing_ok=True)
            listener.bind(f"{short}/{name}")
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def connect(directory: Path, name: str) -> trio.SocketStream:
    """Connect to the socket at ``directory/name``. Raises OSError, also when it takes too long."""
    connection = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(directory) as short, trio.fail_after(CONNECT_DEADLINE_S):
            await connection.connect(f"{short}/{name}")
        return trio.SocketStream(connection)
    except trio.TooSlowError:
        connection.close()
        raise TimeoutError(f"{name} takes no connection") from None
    except BaseException:
        connection.close()
        raise


def serving_process(stream: trio.SocketStream) -> int:
    """Return the process that listened for the peer of this connection (unix(7), SO_PEERCRED).

    0 names a process of another PID namespace.
    """
    answer = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _user, _group = _CREDENTIALS.unpack(answer)
    return int(pid)


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
