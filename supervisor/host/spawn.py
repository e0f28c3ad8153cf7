"""QEMU's start: detached, confined, with its sockets bound and its locks held before it runs.

What is spawned is :mod:`supervisor.host.launcher`, which becomes QEMU. QEMU inherits descriptors at
the numbers of :class:`InheritedFd`. Our own copies are closed right after the spawn: a listening
socket that we kept would take connections for a QEMU that has died.
"""

import errno
import fcntl
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from supervisor.host.launch_files import NotTheFile
from supervisor.host.private_file import open_private
from supervisor.host.process import Process, start_ticks
from supervisor.host.sockets import listen
from supervisor.vm import layout
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import ProcessIdentity

FIRST_SOURCE_FD = 100
"""Copies begin here, so that no source is overwritten while the fixed numbers are filled."""
RESET_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""Ignored signals would stay ignored in QEMU."""
LAUNCHER = (
    os.path.realpath(sys.executable),  # an environment of packages would only be searched in vain
    *("-I", "-S", "-X", "frozen_modules=on"),
    os.fspath(Path(__file__).with_name("launcher.py")),
)

LISTENERS: Mapping[InheritedFd, str] = {
    InheritedFd.QMP: layout.QMP_SOCKET,
    InheritedFd.MONITOR: layout.MONITOR_SOCKET,
    InheritedFd.AGENT: layout.AGENT_SOCKET,
    InheritedFd.CONSOLE: layout.CONSOLE_SOCKET,
}
WITHOUT_AGENT: Mapping[InheritedFd, str] = {
    number: name for number, name in LISTENERS.items() if number is not InheritedFd.AGENT
}
"""Of a guest with an agent of its own."""
WRITTEN = {InheritedFd.PIDFILE: layout.PIDFILE, InheritedFd.CONSOLE_LOG: layout.CONSOLE_LOG}
LOCK_PIDFILE = f"pidfile={InheritedFd.PIDFILE}"
"""The launcher's order by which QEMU holds its pidfile from the start."""
NO_FILES: Mapping[InheritedFd, int] = {}


def spawn(
    directory: Path,
    argv: tuple[str, ...],
    boot_id: str,
    files: Mapping[InheritedFd, int] = NO_FILES,
    orders: tuple[str, ...] = (),
    listeners: Mapping[InheritedFd, str] = LISTENERS,
) -> Process:
    """Start QEMU in a session of its own, with copies of ``files`` and after the launcher's orders.

    Raises OSError; then nothing runs.
    """
    with ExitStack() as ours:
        sources = {number: _listener(directory, name, ours) for number, name in listeners.items()}
        sources[InheritedFd.LOCK] = _lock(directory, ours)
        sources |= {number: _open(directory / name, ours) for number, name in WRITTEN.items()}
        sources |= {number: _copy(file, ours) for number, file in files.items()}
        stderr = _open(directory / layout.STDERR_LOG, ours)
        pid = os.posix_spawn(
            LAUNCHER[0],
            (*LAUNCHER, *orders, "--", *argv),
            _environment(),
            file_actions=[*_standard_streams(stderr), *_inherit(sources)],
            setsid=True,
            setsigmask=(),
            setsigdef=RESET_SIGNALS,
        )
    return _our_child(pid, boot_id)


def _our_child(pid: int, boot_id: str) -> Process:
    # Until it is reaped nobody else gets its PID, so this can name no other process.
    try:
        identity = ProcessIdentity(pid, start_ticks(pid), boot_id)
        return Process(identity, os.pidfd_open(pid))
    except OSError:
        # A host without descriptors: what cannot be attended to must not run.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _listener(directory: Path, name: str, ours: ExitStack) -> int:
    with listen(directory, name) as listener:
        return _copy(listener.fileno(), ours)


def _lock(directory: Path, ours: ExitStack) -> int:
    """Return a descriptor that holds the launch's lock; BlockingIOError when another one does."""
    descriptor = open_private(directory / layout.LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _copy(descriptor, ours)
    finally:
        os.close(descriptor)


def _open(path: Path, ours: ExitStack) -> int:
    # QEMU takes a descriptor for its log only if it can be written and not read.
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return _copy(descriptor, ours)
    finally:
        os.close(descriptor)


def _copy(descriptor: int, ours: ExitStack) -> int:
    try:
        copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_SOURCE_FD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # What fcntl(2) says where the limit lies below the number to begin from.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None
    ours.callback(os.close, copy)
    return copy


def _standard_streams(log: int) -> list[tuple[int, ...]]:
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),  # type: ignore[list-item]
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]


def _inherit(sources: dict[InheritedFd, int]) -> list[tuple[int, ...]]:
    return [(os.POSIX_SPAWN_DUP2, source, number) for number, source in sources.items()]


def _environment() -> dict[str, str]:
    # With plain C the interpreter would set a variable of its own, which QEMU would inherit.
    return {"PATH": os.defpath, "LANG": "C.UTF-8"}


def explain(error: OSError | NotTheFile, program: str) -> str:
    """Return what kept QEMU from starting, in plain words."""
    match error:
        case BlockingIOError():
            return "QEMU was not started: another one holds the lock of this launch"
        case NotTheFile():
            return f"QEMU was not started: {error}"
    launcher_failed = error.filename in (None, LAUNCHER[0])
    why = error.strerror or error if launcher_failed else error
    return f"QEMU ({program}) cannot be started: {why}"
