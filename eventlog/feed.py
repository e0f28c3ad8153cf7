"""The reading side inside the writer's process: a shared tail in memory, files behind it.

Readers pull by position. A reader that does not pull is in no list and holds no memory, so it
can neither slow an append nor grow anything.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence

import trio

from eventlog.errors import LogEnded, PositionInFuture
from eventlog.journal import Journal
from eventlog.record import Record

TAIL_BYTES = 8 * 1024 * 1024
"""Encoded size of the events kept in memory: some seconds of the busiest log."""

TAIL_COMMITS = 4096
"""Commits kept in memory; bounds the search and what many tiny commits hold."""


class _Commit:
    """One commit in the tail; all readers share its tuple."""

    __slots__ = ("first", "records", "size")

    def __init__(self, records: tuple[Record, ...], size: int) -> None:
        self.first = records[0].position
        self.records = records
        self.size = size


class Feed:
    """What is durable, in order, for any number of readers of one event loop."""

    def __init__(self, journal: Journal, head: int) -> None:
        self.head = head
        self._journal = journal
        self._tail: deque[_Commit] = deque()
        self._tail_bytes = 0
        self._change = trio.Event()
        self._ended: Callable[[], LogEnded] | None = None

    def publish(self, records: Sequence[Record], size: int) -> None:
        """Show the events of one commit; `size` is their encoded size."""
        self._tail.append(_Commit(tuple(records), size))
        self._tail_bytes += size
        self.head = records[-1].position
        while len(self._tail) > 1 and self._over_full():
            self._tail_bytes -= self._tail.popleft().size
        self._wake()

    def end(self, error: Callable[[], LogEnded]) -> None:
        """Nothing more will come: every reader that reaches the end gets an error of its own."""
        self._ended = error
        self._wake()

    def check(self, after: int) -> None:
        """Raises PositionInFuture for a cursor beyond the end, ValueError for a negative one."""
        if after < 0:
            raise ValueError(f"position {after} is negative")
        if after > self.head:
            raise PositionInFuture(after, self.head)

    @property
    def oldest(self) -> int:
        """Position of the oldest event in memory, or of the next where there is none."""
        return self._tail[0].first if self._tail else self.head + 1

    async def take(self, after: int, upto: int) -> Sequence[Record]:
        """Some events after `after`, which is below the head. A checkpoint."""
        if after + 1 >= self.oldest:
            found = self._from_tail(after)
            await trio.lowlevel.checkpoint()
            return found
        return await self._from_files(after, upto)

    async def follow(self, after: int) -> Sequence[Record]:
        """Some events after `after`, waiting where there are none yet. A checkpoint.

        Raises LogClosed or LogPoisoned.
        """
        if self.head > after:
            return await self.take(after, self.head)
        while self.head <= after:
            if self._ended is not None:
                raise self._ended()
            await self._change.wait()
        # Waiting was a checkpoint: another one would be a second round of the loop for everyone.
        if after + 1 >= self.oldest:
            return self._from_tail(after)
        return await self._from_files(after, self.head)

    async def _from_files(self, after: int, upto: int) -> Sequence[Record]:
        return await trio.to_thread.run_sync(
            self._journal.read, after, upto, abandon_on_cancel=True
        )

    def _wake(self) -> None:
        waited_for, self._change = self._change, trio.Event()
        waited_for.set()

    def _over_full(self) -> bool:
        return self._tail_bytes > TAIL_BYTES or len(self._tail) > TAIL_COMMITS

    def _from_tail(self, after: int) -> Sequence[Record]:
        # Most readers want the newest commit.
        commit = self._tail[-1]
        if after + 1 < commit.first:
            at = bisect_right(self._tail, after + 1, key=_first) - 1
            commit = self._tail[at]
        return commit.records[after + 1 - commit.first :]


def _first(commit: _Commit) -> int:
    return commit.first
