"""Where the log lies in a simulation: a disk that loses power, fills up or breaks; no thread."""

import errno
from collections import deque
from enum import Enum
from typing import Protocol

import trio
from chronovisor_crash.simulated_disk import PowerCut, SimulatedDisk

from eventlog.committer import OnDurable, OnFailure
from eventlog.journal import Journal, Part
from eventlog.passthrough import PassingFile, PassingStorage
from eventlog.storage import File

SEGMENT_BYTES = 32 * 1024
"""Some ten launches: logs of a seed are short, and rollovers should come all the same."""


class Space(Enum):
    """Whether the disk takes another file."""

    LEFT = "left"
    NONE = "none"


class Platter(PassingStorage):
    """A simulated disk that may be full, and on which the n-th write fails."""

    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__(disk)
        self.disk = disk
        self.space = Space.LEFT
        self.fail_in = 0
        """Which of the writes to come fails; 0 for none."""

    def wrap(self, file: File, name: str) -> File:
        """Watch what is written to a file."""
        return _PlatterFile(file, self)

    def write(self) -> None:
        """Count one write, and fail it when it is the chosen one."""
        self.fail_in -= 1
        if self.fail_in == 0:
            raise OSError(errno.EIO, "the simulated disk failed")

    def allocate(self) -> None:
        """Fail where there is no space."""
        if self.space is Space.NONE:
            raise OSError(errno.ENOSPC, "the simulated disk is full")


class _PlatterFile(PassingFile):
    def __init__(self, inner: File, platter: Platter) -> None:
        super().__init__(inner)
        self._platter = platter

    def pwrite(self, data: bytes, offset: int) -> None:
        self._platter.write()
        super().pwrite(data, offset)

    def allocate(self, size: int) -> None:
        self._platter.allocate()
        super().allocate(size)

    def fdatasync(self) -> None:
        self._platter.write()
        super().fdatasync()


class Fate(Protocol):
    """What a life of the daemon has in store for its writer."""

    def check(self) -> None:
        """Raise Killed once the daemon is dead."""

    def die(self, why: str) -> None:
        """End the daemon at once."""

    async def dawdle(self) -> None:
        """Let others run for a while."""


class SimulatedCommitter:
    """Group commit in a task: what waits is written together, and others run before and after."""

    def __init__(
        self,
        journal: Journal,
        on_durable: OnDurable,
        on_failure: OnFailure,
        fate: Fate,
    ) -> None:
        self._journal = journal
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._fate = fate
        self._queue: deque[Part] = deque()
        self._news = trio.lowlevel.ParkingLot()
        self._idle = trio.lowlevel.ParkingLot()

    def put(self, part: Part) -> None:
        """Queue the events of one append."""
        self._queue.append(part)
        self._news.unpark_all()

    async def stop(self) -> None:
        """Wait until all that is queued is durable."""
        while self._queue:
            await self._idle.park()

    def abandon(self) -> None:
        """Let go of everybody who waits: the daemon is dead, and they with it."""
        self._on_failure(PowerCut())

    async def run(self) -> None:
        """Commit until the disk fails or the life ends."""
        while True:
            while not self._queue:
                self._idle.unpark_all()
                await self._news.park()
            await self._fate.dawdle()
            self._fate.check()
            if not await self._commit(self._group()):
                self._queue.clear()
                self._idle.unpark_all()
                return

    async def _commit(self, group: list[Part]) -> bool:
        try:
            self._journal.commit(group)
            await self._fate.dawdle()
            self._fate.check()
            self._on_durable(len(group))
            for _ in group:
                self._queue.popleft()
            self._journal.prepare()
        except PowerCut:
            self._fate.die("in the midst of a write")
            return False
        except OSError as error:
            self._on_failure(error)
            return False
        return True

    def _group(self) -> list[Part]:
        left = self._journal.max_batch_bytes
        group: list[Part] = []
        for part in self._queue:
            left -= len(part.events)
            if group and left < 0:
                break
            group.append(part)
        return group
