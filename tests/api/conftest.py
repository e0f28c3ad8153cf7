"""A real log, a small supervisor over it, and both servers on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import trio
import trio.testing
from chronovisor_api import connect, v1
from grpclib.client import Channel

from eventlog import open_log
from supervisor.api.asyncio_bridge import serve_grpc
from supervisor.api.auth import Credentials, Door
from supervisor.api.grpc_call import CallBounds
from supervisor.api.listeners import address_of, bind_tcp, listening_unix
from supervisor.api.readiness import Readiness
from supervisor.api.websocket import serve_websocket
from supervisor.api.websocket_peer import Bounds
from supervisor.config import Address
from supervisor.consoles import Consoles
from supervisor.registry import Registry
from supervisor.telemetry.metrics import Metrics
from tests.api.memory_supervisor import MemorySupervisor

TOKEN = "token-of-this-test-0123456789"
DOOR = Door(Credentials(TOKEN))
PATIENCE = 240
"""Seconds after which a test hangs; everything here takes milliseconds, or hundreds of syncs."""
ANY_PORT = Address("127.0.0.1", 0)

T = TypeVar("T")


@pytest.fixture(name="supervisor")
async def _supervisor(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[MemorySupervisor]:
    nursery.start_soon(_run_out_of_patience)
    async with open_log(tmp_path / "log") as log:
        yield MemorySupervisor(log, tmp_path)


async def _run_out_of_patience() -> None:
    with trio.fail_after(PATIENCE):
        await trio.sleep_forever()


class Served(msgspec.Struct, frozen=True):
    """Where a gRPC server listens."""

    unix: Path
    tcp: Address

    async def ask(self, body: Callable[[v1.SupervisorStub], Awaitable[T]]) -> T:
        """Run a client on the Unix socket."""
        return await ask(
            f"unix:{self.unix}", None, lambda channel: body(v1.SupervisorStub(channel))
        )

    async def ask_tcp(
        self, token: str | None, body: Callable[[v1.SupervisorStub], Awaitable[T]]
    ) -> T:
        """Run a client over TCP."""
        return await ask(str(self.tcp), token, lambda channel: body(v1.SupervisorStub(channel)))


async def ask(target: str, token: str | None, body: Callable[[Channel], Awaitable[T]]) -> T:
    """Run an asyncio client in a thread of its own, as a client's process would."""

    async def client() -> T:
        async with asyncio.timeout(PATIENCE), connect(target, token) as channel:
            return await body(channel)

    return await trio.to_thread.run_sync(lambda: asyncio.run(client()))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds; the test's deadline is the limit."""
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.001)


@pytest.fixture(name="served")
async def _served(supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery) -> Served:
    return await start_grpc(nursery, supervisor, tmp_path, CallBounds())


async def start_grpc(
    nursery: trio.Nursery,
    supervisor: MemorySupervisor,
    directory: Path,
    bounds: CallBounds,
    readiness: Readiness | None = None,
) -> Served:
    """Start a gRPC server in the test's nursery."""
    path = directory / "grpc.sock"
    if readiness is None:
        readiness = Readiness()
        readiness.recovered()

    async def serve(*, task_status: trio.TaskStatus[Address]) -> None:
        with bind_tcp(ANY_PORT) as tcp, listening_unix(path) as unix:
            async with trio.open_nursery() as server:
                call = partial(serve_grpc, unix=[unix], tcp=tcp, door=DOOR, bounds=bounds)
                await server.start(
                    partial(call, readiness=readiness, metrics=Metrics()), supervisor
                )
                task_status.started(address_of(tcp))

    return Served(path, await nursery.start(serve))


StartWebsocket = Callable[[Bounds], Awaitable[Address]]


@pytest.fixture
def registry() -> Registry:
    """The VMs whose consoles there are."""
    return Registry()


@pytest.fixture
def leaving() -> trio.Event:
    """The end of every WebSocket listener; the test's own nursery would take the test along."""
    return trio.Event()


@pytest.fixture(name="start_websocket")
def _start_websocket(
    supervisor: MemorySupervisor,
    registry: Registry,
    nursery: trio.Nursery,
    leaving: trio.Event,
    tmp_path: Path,
) -> StartWebsocket:
    consoles = Consoles(registry, tmp_path / "vms", nursery)

    async def start(bounds: Bounds) -> Address:
        tcp = bind_tcp(ANY_PORT)
        serve = partial(
            serve_websocket, supervisor.log, consoles, metrics=Metrics(), tcp=tcp, door=DOOR
        )

        async def until_leaving(*, task_status: trio.TaskStatus[None]) -> None:
            async with trio.open_nursery() as daemon:
                await daemon.start(partial(serve, bounds=bounds))
                task_status.started()
                await leaving.wait()
                daemon.cancel_scope.cancel()

        await nursery.start(until_leaving)
        return address_of(tcp)

    return start
