"""A line that goes dead without a word: what a host that lost its power, or a tunnel, leaves."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from chronovisor_api import Client, Unreachable

from tests.api.conftest import PATIENCE, Served
from tests.api.memory_supervisor import MemorySupervisor

KEEPALIVE_S = 0.2
NEVER = 2**62
"""More bytes than ever pass."""


@asynccontextmanager
async def line(path: Path, served: Served, stop_after: int) -> AsyncIterator[trio.Process]:
    """A relay at ``path`` that is ready."""
    words = [sys.executable, "-m", "tests.api.relay", str(path), str(served.unix), str(stop_after)]
    process = await trio.lowlevel.open_process(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        await process.stdout.receive_some()
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        if process.stdout is not None:
            await process.stdout.aclose()


async def test_a_watch_over_a_line_that_goes_dead_goes_on_over_the_next(
    served: Served, supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    path, positions = tmp_path / "line", list[int]()
    begun, ended = trio.Event(), trio.Event()
    here = trio.lowlevel.current_trio_token()

    async def watch() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            Client(f"unix:{path}", keepalive_s=KEEPALIVE_S) as client,
        ):
            async for event in client.watch():
                positions.append(event.position)
                here.run_sync_soon(begun.set)
                if event.position == 3:
                    break
        here.run_sync_soon(ended.set)

    await supervisor.say(1)
    async with trio.open_nursery() as nursery, line(path, served, NEVER) as first:
        nursery.start_soon(trio.to_thread.run_sync, lambda: asyncio.run(watch()))
        await begun.wait()
        first.send_signal(signal.SIGSTOP)
        path.unlink()
        await supervisor.say(2)
        async with line(path, served, NEVER):
            await ended.wait()
    assert positions == [1, 2, 3]


async def test_an_upload_into_a_line_that_goes_dead_ends(served: Served, tmp_path: Path) -> None:
    source, path = tmp_path / "large", tmp_path / "line"
    source.write_bytes(b"x" * 4 * 1024 * 1024)

    async def upload() -> None:
        target = f"unix:{path}"
        async with (
            asyncio.timeout(PATIENCE),
            Client(target, patience_s=0, keepalive_s=KEEPALIVE_S) as client,
        ):
            await client.upload(source)

    async with line(path, served, 512 * 1024):
        with pytest.raises(Unreachable):
            await trio.to_thread.run_sync(lambda: asyncio.run(upload()))
