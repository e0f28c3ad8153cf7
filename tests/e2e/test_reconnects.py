"""Subscribers that lose their connection again and again, while VMs come and go."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from chronovisor_api import Client, connect, v1
from websockets.asyncio.client import connect as connect_websocket

from tests.e2e.daemon_process import COMMAND_S, Daemon

pytestmark = pytest.mark.guest

RECONNECTS = 100
CONNECTED_S = 0.04
"""At most this long every second connection lives: for some events, or for half a handshake."""
EVENTS_MOST = 3
"""So many bring the others, which are cut in the midst of what comes."""
MARKS = ("org.chronovisor.caught-up.v1", "org.chronovisor.bookmark.v1")

Positions = AsyncGenerator[int, None]
Follow = Callable[[Daemon, int], Positions]


async def over_grpc(daemon: Daemon, after: int) -> Positions:
    async with connect(f"unix:{daemon.state_dir}/grpc.sock") as channel:
        request = v1.WatchEventsRequest(after=after, log_id=daemon.ready["log_id"])
        async for message in v1.SupervisorStub(channel).watch_events(request):
            if message.event is not None:
                yield message.event.position


async def over_websocket(daemon: Daemon, after: int) -> Positions:
    url = f"ws://{address(daemon, 'websocket')}/v1/events?after={after}"
    async with connect_websocket(url, additional_headers=authorization(daemon)) as socket:
        try:
            async for message in socket:
                event = json.loads(message)
                if event["type"] not in MARKS:
                    yield int(event["sequence"])
        finally:
            socket.transport.abort()  # no goodbye


async def over_server_sent_events(daemon: Daemon, after: int) -> Positions:
    url = f"http://{address(daemon, 'http')}/v1/events"
    headers = authorization(daemon)
    if after:
        headers["Last-Event-ID"] = f"{daemon.ready['log_id']}/{after}"
    async with (
        httpx.AsyncClient(timeout=COMMAND_S) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        async for line in response.aiter_lines():
            name, _, data = line.partition(": ")
            if name == "data" and (event := json.loads(data))["type"] not in MARKS:
                yield int(event["sequence"])


WAYS: dict[str, Follow] = {
    "gRPC": over_grpc,
    "WebSocket": over_websocket,
    "Server-Sent Events": over_server_sent_events,
}


def address(daemon: Daemon, api: str) -> str:
    return f"{daemon.ready[api]['host']}:{daemon.ready[api]['port']}"


def authorization(daemon: Daemon) -> dict[str, str]:
    return {"authorization": f"Bearer {(daemon.state_dir / 'token').read_text().strip()}"}


class Subscriber:
    """One that remembers what it saw, and nothing else."""

    def __init__(self, daemon: Daemon, follow: Follow) -> None:
        self.seen: list[int] = []
        self._daemon = daemon
        self._follow = follow

    async def reconnect(self, chance: random.Random) -> None:
        """Connect again and again; a connection is cut at some time, or after some events."""
        for _ in range(RECONNECTS // 2):
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, CONNECTED_S)):
                    await self.read_until(lambda: False)
            enough = len(self.seen) + chance.randint(1, EVENTS_MOST)
            await self.read_until(partial(self.has_seen, enough))

    async def read_until(self, is_enough: Callable[[], bool]) -> None:
        """Go on where it was."""
        if is_enough():
            return
        async with aclosing(self._follow(self._daemon, self.position)) as positions:
            async for position in positions:
                self.seen.append(position)
                if is_enough():
                    return

    @property
    def position(self) -> int:
        """The last that it saw."""
        return self.seen[-1] if self.seen else 0

    def has_seen(self, events: int) -> bool:
        """Whether it saw so many."""
        return len(self.seen) == events


async def come_and_go(client: Client, manifest: v1.Manifest, until: asyncio.Event) -> None:
    """Have VMs accepted, killed and deleted, one after the other."""
    while not until.is_set():
        vm = await client.submit(manifest)
        await client.kill(vm.vm_id)
        await client.wait(vm.vm_id)
        await client.delete(vm.vm_id)


async def reconnect_while_vms_come_and_go(
    daemon: Daemon, algorithm: Path, seed: int
) -> dict[str, list[int]]:
    subscribers = {way: Subscriber(daemon, follow) for way, follow in WAYS.items()}
    enough = asyncio.Event()
    async with (
        asyncio.timeout(COMMAND_S),
        Client(f"unix:{daemon.state_dir}/grpc.sock") as client,
    ):
        sha256 = await client.upload(algorithm)
        manifest = v1.Manifest(name="long", algorithm=v1.Algorithm(sha256=sha256))
        await client.submit(manifest)  # the only one that runs: all others wait in line
        coming = asyncio.create_task(come_and_go(client, manifest, enough))
        async with asyncio.TaskGroup() as tasks:
            for way, subscriber in subscribers.items():
                tasks.create_task(subscriber.reconnect(random.Random(f"{way} {seed}")))
        enough.set()
        await coming
        head = (await client.log()).head
        for subscriber in subscribers.values():
            await subscriber.read_until(partial(subscriber.has_seen, head))
    return {way: subscriber.seen for way, subscriber in subscribers.items()}


@pytest.mark.fault("subscriber-loses-events")
def test_who_reconnects_at_random_has_every_position_once(
    stopped_daemon: Daemon, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    algorithm = tmp_path / "algorithm.sh"
    algorithm.write_text("#!/bin/sh\nsleep 600\n")
    stopped_daemon.start("--max-running", "1")
    seen = asyncio.run(reconnect_while_vms_come_and_go(stopped_daemon, algorithm, seed))
    for positions in seen.values():
        assert positions == list(range(1, len(positions) + 1))
    assert len({len(positions) for positions in seen.values()}) == 1
    assert len(seen["gRPC"]) > RECONNECTS
