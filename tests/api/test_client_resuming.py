"""A watch of the Python client over two daemons: one that leaves, and one that comes after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from chronovisor_api import Client, Refused

from eventlog import open_log
from supervisor.api.grpc_call import CallBounds
from tests.api.conftest import PATIENCE, start_grpc
from tests.api.memory_supervisor import MemorySupervisor

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def daemon(supervisor: MemorySupervisor, directory: Path) -> AsyncIterator[None]:
    """A daemon that leaves at the end of the block; the same directory is the same address."""
    async with trio.open_nursery() as nursery:
        await start_grpc(nursery, supervisor, directory, CallBounds())
        yield
        nursery.cancel_scope.cancel()


class Watching:
    """A client in a thread of its own, as its process would be."""

    def __init__(self, directory: Path) -> None:
        self.positions: list[int] = []
        self.seen = {position: trio.Event() for position in range(1, 5)}
        self._target = f"unix:{directory}/grpc.sock"
        self._here = trio.lowlevel.current_trio_token()

    async def until(self, last: int) -> None:
        """Watch from a moment long ago to a position."""
        await trio.to_thread.run_sync(lambda: asyncio.run(self._until(last)))

    async def _until(self, last: int) -> None:
        async with asyncio.timeout(PATIENCE), Client(self._target) as client:
            async for event in client.watch(since=LONG_AGO):
                self.positions.append(event.position)
                self._here.run_sync_soon(self.seen[event.position].set)
                if event.position == last:
                    return


async def test_a_watch_from_a_moment_goes_on_after_its_last_event(
    supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    watching = Watching(tmp_path)
    await supervisor.say(2)
    async with trio.open_nursery() as nursery:
        async with daemon(supervisor, tmp_path):
            nursery.start_soon(watching.until, 4)
            await watching.seen[2].wait()
        await supervisor.say(1)
        async with daemon(supervisor, tmp_path):
            await watching.seen[3].wait()
            await supervisor.say(1)
            await watching.seen[4].wait()
    assert watching.positions == [1, 2, 3, 4]


async def test_another_log_in_the_same_place_is_not_gone_on_with(
    supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    watching, refused = Watching(tmp_path), trio.Event()

    async def watch() -> None:
        with pytest.raises(Refused, match="this log is") as no:
            await watching.until(4)
        assert no.value.reason == "CURSOR_OF_ANOTHER_LOG"
        refused.set()

    await supervisor.say(2)
    async with open_log(tmp_path / "another") as log, trio.open_nursery() as nursery:
        async with daemon(supervisor, tmp_path):
            nursery.start_soon(watch)
            await watching.seen[2].wait()
        another = MemorySupervisor(log, tmp_path)
        await another.say(4)
        async with daemon(another, tmp_path):
            await refused.wait()
    assert watching.positions == [1, 2]
