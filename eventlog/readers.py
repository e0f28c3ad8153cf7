"""What a reader holds: a position, and the part of a commit that it has not looked at yet.

Plain asynchronous iterators, not generators: they need no closing and may be dropped anywhere.
"""

import enum
from collections.abc import Iterator, Sequence

import trio

from eventlog.feed import Feed
from eventlog.record import CaughtUp, Record


class Reader:
    """Events from a position up to what was the head when it was made.

    `position` is the last event passed: where to go on.
    """

    def __init__(self, feed: Feed, after: int, stream: str | None) -> None:
        feed.check(after)
        self.position = after
        self._feed = feed
        self._upto = feed.head
        self._stream = stream
        self._batch: Iterator[Record] = iter(())

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> Record:
        while True:
            for event in self._batch:
                self.position = event.position
                if self._stream is None or event.stream == self._stream:
                    return event
            if self.position >= self._upto:
                await trio.lowlevel.checkpoint()
                raise StopAsyncIteration
            self._batch = iter(await self._feed.take(self.position, self._upto))


class _Phase(enum.Enum):
    REPLAYING = "replaying"
    LIVE = "live"


class Subscription:
    """All events from a position on, without a gap or an end, and one `CaughtUp` on the way.

    `position` is the last event passed: where to go on. Raises LogClosed or LogPoisoned after the
    last durable event.
    """

    def __init__(self, feed: Feed, after: int) -> None:
        feed.check(after)
        self.position = after
        self._feed = feed
        self._batch: Iterator[Record] = iter(())
        self._phase = _Phase.REPLAYING

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Record | CaughtUp:
        while True:
            for event in self._batch:
                self.position = event.position
                return event
            if self._is_just_caught_up():
                return CaughtUp(self.position)
            self._batch = iter(await self._feed.follow(self.position))

    async def take(self) -> Sequence[Record | CaughtUp]:
        """The next items in one go, waiting where there are none: the cheap way to fan out."""
        rest: Sequence[Record] = tuple(self._batch)
        if not rest:
            if self._is_just_caught_up():
                return (CaughtUp(self.position),)
            rest = await self._feed.follow(self.position)
        self.position = rest[-1].position
        return rest

    def _is_just_caught_up(self) -> bool:
        if self.position < self._feed.head or self._phase is _Phase.LIVE:
            return False
        self._phase = _Phase.LIVE
        return True
