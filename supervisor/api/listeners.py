"""Sockets to listen on, bound before anything is served, so that a taken address is met early."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from supervisor.cannot_serve import CannotServe
from supervisor.config import Address
from supervisor.state_directory import UNIX_PATH_MAX_BYTES

BACKLOG = 128
"""Connections that may wait to be accepted; a burst of clients is not refused."""
PROBE_SECONDS = 1.0
"""A listener on this host that does not take a connection for so long is wedged, not absent."""


REMEDIES = {
    errno.EADDRINUSE: "choose another port, or stop what has it: ss -ltnp tells",
    errno.EACCES: "choose a port from 1024 on, which everybody may take",
}
OF_ANOTHER_ADDRESS = "give an address of this host: ip address tells which it has"


class CannotListen(CannotServe):
    """An address cannot be listened on; the message says why, and what to do."""


def bind_tcp(address: Address) -> socket.socket:
    """Return a socket that listens on a numeric address. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with ExitStack() as unless_bound:
        try:
            listener = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address.host, address.port))
            listener.listen(BACKLOG)
        except OSError as error:
            remedy = REMEDIES.get(error.errno or 0, OF_ANOTHER_ADDRESS)
            raise CannotListen(f"cannot listen on {address}: {error.strerror}; {remedy}") from error
        unless_bound.pop_all()
    listener.setblocking(False)
    return listener


@contextmanager
def listening_unix(path: Path) -> Iterator[socket.socket]:
    """Listen at ``path`` for this user only; the file is gone afterwards. Raises CannotListen.

    A socket that an earlier daemon left is replaced; one that somebody listens on is not. What
    took its place meanwhile stays.
    """
    with _bind_unix(path) as listener:
        ours = path.lstat()
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), ours):
                    path.unlink()


def _bind_unix(path: Path) -> socket.socket:
    size = len(os.fsencode(path))
    if size > UNIX_PATH_MAX_BYTES:
        raise CannotListen(
            f"{path} is too long for a socket: it has {size} bytes, and the system takes at most "
            f"{UNIX_PATH_MAX_BYTES}; use a shorter one"
        )
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The file takes its mode from the socket (Linux, net/unix/af_unix.c: unix_bind_bsd), so
        # there is no instant in which others could connect, and no umask to be changed.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise CannotListen(f"cannot listen on {path}: {reason}") from error
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> Address:
    """Return the address that a TCP listener got."""
    host, port, *_ = listener.getsockname()
    return Address(host, port)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotListen(f"{path} is in the way and is no socket: move it elsewhere")
    if is_listened_on(path):
        raise CannotListen(f"another daemon listens on {path}: stop it first")
    path.unlink()


def is_listened_on(path: Path) -> bool:
    """Return whether somebody takes connections at a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
