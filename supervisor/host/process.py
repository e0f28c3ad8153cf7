"""One QEMU process through its pidfd: who it is, when it ends, and how.

A pidfd names one process for ever, so nothing here can reach a stranger who got its PID later.
"""

import errno
import os
import signal
from contextlib import suppress

import msgspec
import trio

from supervisor.host import proc
from supervisor.vm.effects import ProcessSignal
from supervisor.vm.observations import ProcessIdentity

OF_A_THREAD = frozenset({errno.EINVAL, errno.ENOENT})
"""What pidfd_open(2) says of a thread's number, before and since Linux 6.15."""


class ExitStatus(msgspec.Struct, frozen=True):
    """How a process ended; nothing is known of one that was not our child."""

    exit_code: int | None = None
    signal: int | None = None


class Process:
    """A process that is known to be the launch's own."""

    def __init__(self, identity: ProcessIdentity, pidfd: int) -> None:
        self.identity = identity
        self._pidfd = pidfd

    async def wait_exited(self) -> ExitStatus:
        """Wait for the end of the process, and reap it when it is our child."""
        await trio.lowlevel.wait_readable(self._pidfd)
        return reap(self._pidfd)

    def send(self, order: ProcessSignal) -> None:
        """Send a signal; a process that is gone already needs none."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.Signals[order.value])

    def close(self) -> None:
        """Let go of the process, which lives on."""
        os.close(self._pidfd)


def open_pidfd(pid: int) -> int:
    """Return a pidfd of a process.

    Raises ProcessLookupError when there is none; threads have numbers too, which are no process's.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in OF_A_THREAD:
            raise ProcessLookupError(pid) from None
        raise


def reap(pidfd: int) -> ExitStatus:
    """Return how an ended process ended; the kernel tells only its parent."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return ExitStatus()
    if result is None:
        return ExitStatus()
    if result.si_code == os.CLD_EXITED:
        return ExitStatus(exit_code=result.si_status)
    return ExitStatus(signal=result.si_status)


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (proc(5), starttime).

    Raises ProcessLookupError when there is none.
    """
    try:
        return int(proc.stat_fields(pid)[proc.STARTTIME])
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
