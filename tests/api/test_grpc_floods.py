"""Floods and oddities below gRPC: their senders are hung up on or served; nobody else notices."""

import asyncio
import socket
import struct

import pytest
import trio
from chronovisor_api import v1
from grpclib.const import Status
from hyperframe.frame import (
    DataFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from supervisor.api.grpc_transport import IDLE_FRAMES, OUTGOING_BYTES, BoundedTransport
from tests.api.conftest import Served
from tests.api.raw_grpc import RawClient, frame, headers, raw_client, until_hung_up

NO_SUCH = frame(v1.GetVmRequest(vm_id="b").SerializeToString())
GUARD_S = 120
FLOOD = IDLE_FRAMES * 30
"""More than a connection may send, however slowly it does."""


async def lives(served: Served) -> None:
    answer = await served.ask(lambda stub: stub.list_vms(v1.ListVmsRequest()))
    assert answer.vms == []


async def hung_up(client: RawClient) -> None:
    with trio.fail_after(GUARD_S):
        await until_hung_up(client.stream)


@pytest.mark.parametrize(
    "idle",
    [
        PingFrame(0, b"12345678"),
        PingFrame(0, b"12345678", flags=["ACK"]),
        SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 1}),
        PriorityFrame(99, depends_on=0, stream_weight=1),
        DataFrame(1, b""),
    ],
    ids=["pings", "pongs", "settings", "priorities", "empty data"],
)
async def test_a_flood_of_frames_that_bring_nothing_is_hung_up_on(
    served: Served, idle: PingFrame | SettingsFrame | PriorityFrame | DataFrame
) -> None:
    async with raw_client(served.unix) as client:
        assert await client.call(headers("WatchEvents"), frame(b""), end=False) == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, client, idle.serialize() * FLOOD)
            await hung_up(client)
            nursery.cancel_scope.cancel()
    await lives(served)


async def test_calls_that_are_taken_back_at_once_again_and_again_are_hung_up_on(
    served: Served,
) -> None:
    async with raw_client(served.unix) as client:
        sent = bytearray()
        for number in range(1, 2 * IDLE_FRAMES, 2):
            client.h2.send_headers(number, headers("ListVms"))
            sent += client.h2.data_to_send() + RstStreamFrame(number, 8).serialize()
            client.h2.reset_stream(number)
            client.h2.data_to_send()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, client, bytes(sent))
            await hung_up(client)
            nursery.cancel_scope.cancel()
    await lives(served)


async def _send(client: RawClient, data: bytes) -> None:
    try:
        await client.stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def test_a_frame_of_an_unknown_type_is_ignored(served: Served) -> None:
    async with raw_client(served.unix) as client:
        await client.stream.send_all(struct.pack(">IBBI", 8, 0xFE, 0xFF, 0)[1:] + bytes(8))
        status, _ = await client.status(await client.call(headers(), NO_SUCH))
    assert status is Status.NOT_FOUND


async def test_data_without_any_is_not_the_end_of_a_message(served: Served) -> None:
    async with raw_client(served.unix) as client:
        number = await client.call(headers(), NO_SUCH[:3], b"", NO_SUCH[3:])
        status, _ = await client.status(number)
    assert status is Status.NOT_FOUND


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("GetVm", b"\x08\x01"),  # a number for a string
        ("GetVm", b"\x0d\0\0\0\0"),
        ("WatchEvents", b"\x0a\x02\x01\x02" + b"\x2a\x01x"),  # a list for a number
        ("StopVm", b"\x0a\x01b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("ListVms", b"\x12\x01a\x18\x05\x22\x03\x08\x01\x10"),
        ("GetVm", b"\x0a\x02\xff\xfe"),
        ("SubmitComputation", b"\x0a" * 3000),
        ("SubmitComputation", b"\x0b" * 3000),
    ],
)
async def test_fields_of_another_type_get_a_status_that_blames_the_client(
    served: Served, method: str, body: bytes
) -> None:
    async with raw_client(served.unix) as client:
        number = await client.call(headers(method, ("grpc-timeout", "1S")), frame(body))
        status, _ = await client.status(number)
    assert status not in {Status.UNKNOWN, Status.INTERNAL}


class Ended(asyncio.Protocol):
    """Tells when its connection is over."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


def test_a_client_that_takes_nothing_is_hung_up_on_beyond_a_bound() -> None:
    async def write() -> bool:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        with theirs:
            transport, protocol = await loop.create_connection(Ended, sock=ours)
            bounded = BoundedTransport(transport, loop.call_soon, loop.call_later)
            bounded.write(bytes(OUTGOING_BYTES // 2))
            assert not bounded.is_closing()
            bounded.write(bytes(OUTGOING_BYTES))
            async with asyncio.timeout(GUARD_S):
                await protocol.lost.wait()
            return bool(bounded.is_closing())

    assert asyncio.run(write())


def test_what_is_written_in_one_turn_is_sent_together() -> None:
    async def write() -> tuple[bytes, bytes]:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        with theirs:
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            bounded = BoundedTransport(transport, loop.call_soon, loop.call_later)
            bounded.write(b"headers")
            bounded.write(b"trailers")
            theirs.setblocking(False)
            together = await loop.sock_recv(theirs, 100)
            bounded.write(b"goodbye")
            bounded.close()
            return together, theirs.recv(100)

    assert asyncio.run(write()) == (b"headerstrailers", b"goodbye")


def test_a_client_that_takes_nothing_does_not_keep_a_connection_that_is_closed() -> None:
    async def close() -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        with theirs:
            transport, protocol = await loop.create_connection(Ended, sock=ours)
            bounded = BoundedTransport(transport, loop.call_soon, loop.call_later, close_s=0.01)
            bounded.write(bytes(OUTGOING_BYTES // 2))
            bounded.close()
            async with asyncio.timeout(GUARD_S):
                await protocol.lost.wait()

    asyncio.run(close())
