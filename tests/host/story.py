"""Telling a story to a host: do an effect, wait for what comes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from supervisor.actor import Host
from supervisor.vm.effects import Effect
from supervisor.vm.observations import Observation

PATIENCE_S = 120.0
"""Far more than a loaded machine needs for any step of a test."""

Seen = TypeVar("Seen")


class Story:
    """One life of a daemon: a host, its tasks, and everything that it reported."""

    def __init__(self, host: Host, nursery: trio.Nursery) -> None:
        self.seen: list[Observation] = []
        self._host = host
        self._nursery = nursery
        self._read = 0
        self._news = trio.Condition()

    def do(self, effect: Effect) -> None:
        """Perform ``effect`` in a task of its own, as the actor does."""
        self._nursery.start_soon(self._host.perform, effect, self._report)

    async def until(self, kind: type[Seen]) -> Seen:
        """Return the next observation of this kind that was not waited for before."""
        with trio.fail_after(PATIENCE_S):
            async with self._news:
                while True:
                    for position in range(self._read, len(self.seen)):
                        if isinstance(found := self.seen[position], kind):
                            self._read = position + 1
                            return found
                    await self._news.wait()

    def kinds(self) -> list[str]:
        """Return the names of all that was reported, in order."""
        return [type(observation).__name__ for observation in self.seen]

    async def _report(self, observation: Observation) -> None:
        async with self._news:
            self.seen.append(observation)
            self._news.notify_all()


@asynccontextmanager
async def life_of(host: Host) -> AsyncIterator[Story]:
    """Tell a story, and end the daemon's life as a daemon ends: everything is cancelled."""
    async with trio.open_nursery() as nursery:
        yield Story(host, nursery)
        nursery.cancel_scope.cancel()
