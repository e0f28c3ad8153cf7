"""Keeps the snapshot fresh: folds beside the daemon what it appends, and writes what comes out.

The fold has a world of its own, so a snapshot is the state at exactly one place of the log,
whatever the actors are doing; it works in a thread on the log's files, so no append waits for it.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from eventlog import Bookmark, EventLogError, Scan
from eventlog.storage import DiskStorage
from supervisor.replay import Replay, ReplayError, World
from supervisor.snapshot import FOLD, Snapshot, SnapshotUnfit, load_snapshot, write_snapshot
from supervisor.vm.state import VmState

logger = logging.getLogger(__name__)

EVERY_EVENTS = 10_000
"""Events between two snapshots: a start folds them in about 0.2 s."""

AFTER_START_EVENTS = 1_000
"""What a start must have folded to be followed by a snapshot: a daemon that is killed again and
again gains ground each time, and one that is not does not write a file at each start."""

LOOK_S = 5
"""How often the head is looked at; an append should not have to tell."""


class Latest(msgspec.Struct, frozen=True):
    """The VMs at a position, as the last fold left them."""

    position: int
    vms: dict[str, VmState]


class Snapshots:
    """The fold of a log, the file it is kept in, and the task that does both.

    :meth:`fold` and :meth:`write` block and are called by one thread at a time.
    """

    def __init__(self, log: Path, path: Path) -> None:
        self._log = log
        self._path = path
        self._bookmark, world = self._load()
        self._replay = Replay(world, self._bookmark.position if self._bookmark else 0)
        self._scan: Scan | None = None
        self._written = self._replay.position
        self.latest = Latest(0, {})

    @property
    def bookmark(self) -> Bookmark | None:
        """Where the log may be opened; None where no snapshot could be used."""
        return self._bookmark

    @property
    def world(self) -> World:
        """The fold so far. Raises ReplayError."""
        return self._replay.conclude()

    @property
    def unwritten(self) -> int:
        """Events that were folded since the file was written."""
        return self._replay.position - self._written

    def fold(self) -> None:
        """Fold what the log got. Raises EventLogError or ReplayError."""
        if self._scan is None:
            self._scan = Scan(DiskStorage(self._log), self._bookmark)
        for commit in self._scan.commits():
            for record in commit:
                self._replay.take(record)
        self.latest = Latest(self._replay.position, dict(self.world.vms))

    def write(self) -> None:
        """Write what was folded. A disk that does not take it is worth a warning, no more."""
        bookmark = self._scan.bookmark() if self._scan else None
        if bookmark is None:
            return
        try:
            write_snapshot(self._path, Snapshot(FOLD, bookmark, self.world.encoded()))
            self._written = self._replay.position
        except OSError as error:
            logger.warning("no snapshot was written: %s; the next start takes longer", error)

    async def keep(self, head: Callable[[], int]) -> None:
        """Write one now, if the start folded much, and then whenever the log has grown enough."""
        if self.unwritten >= AFTER_START_EVENTS:
            await trio.to_thread.run_sync(self.write)
        while True:
            await trio.sleep(LOOK_S)
            if head() - self._written >= EVERY_EVENTS:
                await trio.to_thread.run_sync(self._refresh)

    async def conclude(self) -> None:
        """Write what is there; the log may be closing."""
        await trio.to_thread.run_sync(self._refresh)

    def _refresh(self) -> None:
        try:
            self.fold()
        except (EventLogError, ReplayError) as error:
            logger.warning("no snapshot was written: %s", error)
            return
        self.write()

    def _load(self) -> tuple[Bookmark | None, World | None]:
        try:
            return load_snapshot(self._path, self._log)
        except FileNotFoundError:
            return None, None
        except SnapshotUnfit as unfit:
            logger.warning("the snapshot %s is not used: %s", self._path, unfit)
            return None, None
