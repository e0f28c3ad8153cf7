"""QEMU's start: detached, with its sockets bound and its lock held before it runs.

QEMU inherits descriptors at the numbers of :class:`InheritedFd`. Our own copies are closed right
after the spawn: a listening socket that we kept would take connections for a QEMU that has died.
"""

import fcntl
import os
import signal
from contextlib import ExitStack
from pathlib import Path

from supervisor.host.process import Process, start_ticks
from supervisor.host.sockets import listen
from supervisor.vm import layout
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import ProcessIdentity

FIRST_SOURCE_FD = 100
"""Copies begin here, so that no source is overwritten while the fixed numbers are filled."""
RESET_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""Python ignores SIGPIPE and SIGXFSZ, and ignored signals would stay ignored in QEMU."""

LISTENERS = {
    InheritedFd.QMP: layout.QMP_SOCKET,
    InheritedFd.MONITOR: layout.MONITOR_SOCKET,
    InheritedFd.AGENT: layout.AGENT_SOCKET,
    InheritedFd.CONSOLE: layout.CONSOLE_SOCKET,
}


def spawn(directory: Path, argv: tuple[str, ...], boot_id: str) -> Process:
    """Start QEMU in a session of its own. Raises OSError; then nothing runs."""
    with ExitStack() as ours:
        sources = {number: _listener(directory, name, ours) for number, name in LISTENERS.items()}
        sources[InheritedFd.LOCK] = _lock(directory, ours)
        pid = os.posix_spawn(
            argv[0],
            argv,
            _environment(),
            file_actions=[*_standard_streams(directory), *_inherit(sources)],
            setsid=True,
            setsigmask=(),
            setsigdef=RESET_SIGNALS,
        )
    # Until it is reaped nobody else gets its PID, so this can name no other process.
    identity = ProcessIdentity(pid, start_ticks(pid), boot_id)
    return Process(identity, os.pidfd_open(pid))


def _listener(directory: Path, name: str, ours: ExitStack) -> int:
    with listen(directory, name) as listener:
        return _copy(listener.fileno(), ours)


def _lock(directory: Path, ours: ExitStack) -> int:
    """Return a descriptor that holds the launch's lock; BlockingIOError when another one does."""
    descriptor = os.open(directory / layout.LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _copy(descriptor, ours)
    finally:
        os.close(descriptor)


def _copy(descriptor: int, ours: ExitStack) -> int:
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_SOURCE_FD)
    ours.callback(os.close, copy)
    return copy


def _standard_streams(directory: Path) -> list[tuple[int, ...]]:
    log = os.fspath(directory / layout.STDERR_LOG)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),  # type: ignore[list-item]
        (os.POSIX_SPAWN_OPEN, 2, log, append, 0o600),  # type: ignore[list-item]
        (os.POSIX_SPAWN_DUP2, 2, 1),
    ]


def _inherit(sources: dict[InheritedFd, int]) -> list[tuple[int, ...]]:
    return [(os.POSIX_SPAWN_DUP2, source, number) for number, source in sources.items()]


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C"}


def explain(error: OSError, program: str) -> str:
    """Return what kept QEMU from starting, in plain words."""
    if isinstance(error, BlockingIOError):
        return "QEMU was not started: another one holds the lock of this launch"
    return f"QEMU ({program}) cannot be started: {error.strerror or error}"
