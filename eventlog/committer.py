"""Group commit: one thread that commits all that is pending, again and again.

There is no delay timer: while one fdatasync runs, the next group gathers. The thread touches the
journal and nothing else; what it has to tell, it tells to the event loop in one call per commit.
"""

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TypeVar

import trio

from eventlog.journal import Journal, Part

T = TypeVar("T")

OnDurable = Callable[[int], None]
OnFailure = Callable[[BaseException], None]
"""Run in the event loop: the oldest `n` parts are durable, or no part will be any more."""


class Commits(Protocol):
    """Takes parts and makes them durable, in order, while the event loop goes on."""

    def put(self, part: Part) -> None:
        """Queue the events of one append; the caller bounds the queue."""

    async def stop(self) -> None:
        """Commit what is queued, and end."""


class Committer:
    """Owns the writer thread."""

    def __init__(self, journal: Journal, on_durable: OnDurable, on_failure: OnFailure) -> None:
        self._journal = journal
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._queue: SimpleQueue[Part | None] = SimpleQueue()
        self._held: Part | None = None
        self._loop = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._run, name="eventlog-writer")
        self._thread.start()

    def put(self, part: Part) -> None:
        """Queue the events of one append; the caller bounds the queue."""
        self._queue.put(part)

    async def stop(self) -> None:
        """Commit what is queued and end the thread. Never cancelled: it is about durability."""
        self._queue.put(None)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        try:
            while group := self._gather():
                self._journal.commit(group)
                self._tell(self._on_durable, len(group))
                self._journal.prepare()
        except BaseException as error:
            self._tell(self._on_failure, error)

    def _gather(self) -> list[Part]:
        """Wait for a part, then take all that are there and fit into one frame; none to stop."""
        first = self._held or self._queue.get()
        self._held = None
        if first is None:
            return []
        bytes_left = self._journal.max_batch_bytes - len(first.events)
        events_left = self._journal.max_batch_events - first.count
        group = [first]
        while not self._queue.empty():
            part = self._queue.get()
            if part is None:
                self._queue.put(None)
                break
            bytes_left -= len(part.events)
            events_left -= part.count
            if bytes_left < 0 or events_left < 0:
                self._held = part
                break
            group.append(part)
        return group

    def _tell(self, what: Callable[[T], None], detail: T) -> None:
        # The loop may be gone when a program dies; nobody is left to be told.
        with contextlib.suppress(trio.RunFinishedError):
            self._loop.run_sync_soon(what, detail)
