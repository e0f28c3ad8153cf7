"""A bounded queue of QMP events whose writer never waits and whose losses are told in their place.

QEMU's memory grows while nobody reads its events, so the reader of the socket must not wait for
whoever consumes them. What does not fit is counted, and the count stands where the events would
have stood.
"""

from collections import deque

import msgspec
import trio

from supervisor.qmp.connection import GuestEvent


class EventsDropped(msgspec.Struct, frozen=True):
    """``count`` events came here and were not kept."""

    count: int


class EventBuffer:
    """One writer, one reader; the reader iterates until the buffer is closed and empty."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[GuestEvent | EventsDropped] = deque()
        self._changed = trio.Event()
        self._closed = trio.Event()

    def put(self, event: GuestEvent) -> None:
        """Keep ``event``, or count it as dropped when the buffer is full. Never waits."""
        if len(self._queue) < self._limit:
            self._queue.append(event)
        elif isinstance(last := self._queue[-1], EventsDropped):
            self._queue[-1] = EventsDropped(last.count + 1)
        else:
            self._queue.append(EventsDropped(1))
        self._changed.set()

    def close(self) -> None:
        """Let the reader end once it has read what is there."""
        self._closed.set()
        self._changed.set()

    def __aiter__(self) -> "EventBuffer":
        return self

    async def __anext__(self) -> GuestEvent | EventsDropped:
        await trio.lowlevel.checkpoint()
        while not self._queue:
            if self._closed.is_set():
                raise StopAsyncIteration
            self._changed = trio.Event()
            await self._changed.wait()
        return self._queue.popleft()
