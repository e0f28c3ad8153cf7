"""Faults of the disk under the event log, and deaths of the daemon while it appends.

An append is one frame of the log (docs/log-format.md), which may hold the events of several that
were waiting. The first one of a life says that the daemon started.
"""

import errno
import os
from collections.abc import Sequence

import trio

from eventlog import frame
from eventlog.passthrough import PassingFile, PassingStorage
from eventlog.storage import File, Storage
from supervisor.faults.plan import AppendMoment, DiskError, FailAppend, KillDaemonAtAppend
from supervisor.faults.trigger import Trigger, kill_the_daemon

FRAME_END = frame.MAGIC.to_bytes(4, "little")
ERRORS = {DiskError.EIO: errno.EIO, DiskError.ENOSPC: errno.ENOSPC}
QUIET_S = 0.02
"""When nobody has anything to do for so long, the answer to an append has left the daemon."""
QUIET_DEADLINE_S = 2.0
"""On a daemon that is never quiet the answer has left long before."""


class AppendFaults:
    """Counts the appends of one life, and does to each what the plan says.

    Runs in the thread that writes the log.
    """

    def __init__(
        self,
        failures: Sequence[Trigger[FailAppend]],
        kills: Sequence[Trigger[KillDaemonAtAppend]],
    ) -> None:
        self.appends = 0
        self._failures = failures
        self._kills = kills
        self._loop = trio.lowlevel.current_trio_token()

    def before_write(self) -> None:
        """An append is about to be written. Raises OSError in the disk's place."""
        self.appends += 1
        self._reach(AppendMoment.BEFORE_WRITE)
        # Each is to count every append, so no generator that ends at the first one.
        due = [trigger.fault for trigger in self._failures if trigger.meet()]
        if due:
            number = ERRORS[due[0].error]
            raise OSError(number, f"{os.strerror(number)} (by the fault plan)")

    def after_write(self) -> None:
        """It is written, and may be lost."""
        self._reach(AppendMoment.AFTER_WRITE)

    def after_fsync(self) -> None:
        """It is durable, and nobody knows yet."""
        self._reach(AppendMoment.AFTER_FSYNC)
        if self._is_due(AppendMoment.AFTER_ANSWER):
            self._loop.run_sync_soon(trio.lowlevel.spawn_system_task, kill_once_quiet)

    def _reach(self, moment: AppendMoment) -> None:
        if self._is_due(moment):
            kill_the_daemon()

    def _is_due(self, moment: AppendMoment) -> bool:
        # The first one ends the daemon: no other need count this append.
        return any(trigger.meet() for trigger in self._kills if trigger.fault.at is moment)


async def kill_once_quiet() -> None:
    """Kill the daemon when every task of it waits for something from outside."""
    # It imports pytest where that is installed, which would double the daemon's start.
    from trio.testing import wait_all_tasks_blocked

    with trio.move_on_after(QUIET_DEADLINE_S):
        await wait_all_tasks_blocked(QUIET_S)
    kill_the_daemon()


class FaultyStorage(PassingStorage):
    """The log's directory, whose segments are written under faults."""

    def __init__(self, inner: Storage, faults: AppendFaults) -> None:
        super().__init__(inner)
        self._faults = faults

    def wrap(self, file: File, name: str) -> File:
        """Return what the log gets in place of this file."""
        return FaultyFile(file, self._faults)


class FaultyFile(PassingFile):
    """A file of the log; a frame that is written to it, and then synced, is an append."""

    def __init__(self, inner: File, faults: AppendFaults) -> None:
        super().__init__(inner)
        self._faults = faults
        self._unsynced_frames = 0

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write; before and after a frame something may happen."""
        if not data.endswith(FRAME_END):
            super().pwrite(data, offset)
            return
        self._faults.before_write()
        super().pwrite(data, offset)
        self._faults.after_write()
        self._unsynced_frames += 1

    def fdatasync(self) -> None:
        """Sync; after that of a frame something may happen."""
        super().fdatasync()
        if self._unsynced_frames:
            self._unsynced_frames = 0
            self._faults.after_fsync()
