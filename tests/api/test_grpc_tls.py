"""gRPC with TLS: who never gets as far as to speak is counted, and has a deadline, all the same."""

import gc
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
from chronovisor_api import tls_context
from grpclib.const import Status

from supervisor.access.tls import Protocol, server_contexts
from supervisor.api import grpc_connections
from supervisor.api.asyncio_bridge import serve_grpc
from supervisor.api.grpc_call import CallBounds
from supervisor.api.grpc_connections import CONNECTIONS, HANDSHAKES
from supervisor.api.listeners import address_of, bind_tcp
from supervisor.api.readiness import Readiness
from supervisor.config import Address
from supervisor.config.schema import Tls
from supervisor.telemetry.metrics import Metrics
from tests.api.conftest import ANY_PORT, DOOR, TOKEN
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.raw_grpc import RawClient, frame, headers, until_hung_up
from tests.e2e.authority import Authority

SOON_S = 30
"""A guard against hanging: half of what asyncio leaves a handshake by itself."""
HASTY = CallBounds(first_request_s=0.2)
PATIENT = CallBounds(first_request_s=3600)


class Private(msgspec.Struct, frozen=True):
    """A gRPC server with TLS."""

    address: Address
    ca: Path
    leave: trio.CancelScope

    async def stranger(self) -> trio.SocketStream:
        """Connect, and say nothing."""
        return await trio.open_tcp_stream(self.address.host, self.address.port)

    async def lives(self) -> None:
        """A client is served."""

        tls = tls_context(ca=self.ca)
        host, port = self.address.host, self.address.port
        async with await trio.open_ssl_over_tcp_stream(host, port, ssl_context=tls) as stream:
            client = RawClient(stream)  # type: ignore[arg-type]
            await client.begin()
            bearer = ("authorization", f"Bearer {TOKEN}")
            number = await client.call(headers("ListVms", bearer), frame(b""))
            assert (await client.status(number))[0] is Status.OK


async def start(
    nursery: trio.Nursery, supervisor: MemorySupervisor, directory: Path, bounds: CallBounds
) -> Private:
    authority = Authority(directory / "certificates", "authority")
    pair = authority.issue("server")
    contexts = server_contexts(Tls(certificate=pair.certificate, key=pair.key), time.time())
    door = msgspec.structs.replace(DOOR, tls=contexts[Protocol.HTTP_2])
    leave = trio.CancelScope()

    async def serve(*, task_status: trio.TaskStatus[Address]) -> None:
        readiness = Readiness()
        readiness.recovered()
        serving = partial(
            serve_grpc, unix=[], door=door, readiness=readiness, metrics=Metrics(), bounds=bounds
        )
        with bind_tcp(ANY_PORT) as tcp, leave:
            async with trio.open_nursery() as server:
                await server.start(partial(serving, tcp=tcp), supervisor)
                task_status.started(address_of(tcp))

    return Private(await nursery.start(serve), authority.file, leave)


async def soon_hung_up(stream: trio.SocketStream) -> None:
    with trio.fail_after(SOON_S):
        await until_hung_up(stream)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_handshake_that_does_not_end_is_ended(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery, said: bytes
) -> None:
    private = await start(nursery, supervisor, tmp_path, HASTY)
    async with await private.stranger() as stranger:
        await stranger.send_all(said)
        await soon_hung_up(stranger)


async def test_who_has_said_nothing_yet_has_a_place_and_there_are_so_many_places(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    private = await start(nursery, supervisor, tmp_path, PATIENT)
    async with AsyncExitStack() as silent:
        for _ in range(CONNECTIONS + HANDSHAKES):
            await silent.enter_async_context(await private.stranger())
        async with await private.stranger() as one_more:
            await soon_hung_up(one_more)
    await private.lives()


async def test_who_never_shook_hands_is_forgotten(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    private = await start(nursery, supervisor, tmp_path, PATIENT)
    for _ in range(40):
        async with await private.stranger() as stranger:
            await stranger.send_all(b"no TLS at all")
            await soon_hung_up(stranger)
    assert len(_remembered()) < 10


async def test_a_daemon_that_leaves_waits_for_no_handshake(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    private = await start(nursery, supervisor, tmp_path, PATIENT)
    async with await private.stranger() as stranger:
        await private.lives()  # so that the stranger was accepted before
        private.leave.cancel()
        await soon_hung_up(stranger)


def _remembered() -> list[object]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, grpc_connections._Requests)]
