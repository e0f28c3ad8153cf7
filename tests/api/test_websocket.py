"""Event subscribers with a real WebSocket client, and with one that says what it must not."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from chronovisor_api import v1
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    wrap_client_stream,
)

from supervisor.api.websocket_peer import BOUNDS, Bounds
from supervisor.config import Address
from tests.api.conftest import PATIENCE, TOKEN, Served, StartWebsocket
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.test_grpc_calls import watched

Headers = dict[str, str]
AUTHORIZED: Headers = {"authorization": f"Bearer {TOKEN}"}
EVENTS = "/v1/events"
TOO_SLOW = re.compile(
    rb"\x88(?P<size>.)(?P<payload>(?P<code>..)too slow; resume after (?P<position>[0-9]+))",
    re.DOTALL,
)
CLOSE_FRAME_BYTES = 2 + 125
"""At most, and whole only with all that its second byte says (RFC 6455, sections 5.2 and 5.5)."""


@asynccontextmanager
async def subscriber(
    address: Address, query: str = "", *, origin: str | None = None, subprotocol: bool = True
) -> AsyncIterator[WebSocketConnection]:
    """Connect; the stream is ours, because the client library leaves it open at some ends."""
    headers = AUTHORIZED if origin is None else AUTHORIZED | {"origin": origin}
    async with (
        await trio.open_tcp_stream(address.host, address.port) as stream,
        trio.open_nursery() as nursery,
    ):
        yield await wrap_client_stream(
            nursery,
            stream,
            str(address),
            EVENTS + query,
            subprotocols=["cloudevents.json"] if subprotocol else None,
            extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        )
        nursery.cancel_scope.cancel()


async def events(connection: WebSocketConnection, count: int) -> list[dict[str, Any]]:
    return [json.loads(await connection.get_message()) for _ in range(count)]


async def closed(connection: WebSocketConnection) -> tuple[int, str | None]:
    """Read to the end; return how the server closed."""
    with pytest.raises(ConnectionClosed) as end:
        await read_on(connection)
    assert end.value.reason is not None
    return end.value.reason.code, end.value.reason.reason


async def read_on(connection: WebSocketConnection) -> None:
    while True:
        await connection.get_message()


class Rejected(msgspec.Struct, frozen=True):
    status: int
    headers: str
    body: bytes


async def rejection(
    address: Address, target: str = EVENTS, headers: Headers = AUTHORIZED, host: str | None = None
) -> Rejected:
    """Ask to connect; return the whole answer, after which the server hangs up."""
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(handshake(host or str(address), target, headers))
        answer = b"".join([data async for data in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return Rejected(int(head.split()[1]), head.decode("latin-1").lower(), body)


def handshake(host: str, target: str = EVENTS, headers: Headers = AUTHORIZED) -> bytes:
    """Return the request of a proper client."""
    proper = {
        "host": host,
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    lines = [f"{name}: {value}\r\n" for name, value in (proper | headers).items()]
    return f"GET {target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


async def test_a_subscriber_gets_replay_then_the_marker_then_live_events(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(BOUNDS)
    await supervisor.say(3)
    async with subscriber(address, "?after=1") as connection:
        assert connection.subprotocol == "cloudevents.json"
        replayed = await events(connection, 3)
        await supervisor.say(1)
        (live,) = await events(connection, 1)
    assert [one["sequence"] for one in replayed] == [f"{n:020d}" for n in (2, 3, 3)]
    assert replayed[2]["type"] == "org.chronovisor.caught-up.v1"
    assert live["id"] == f"{supervisor.log.log_id}/4"


async def test_an_empty_log_begins_with_the_marker(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    async with subscriber(await start_websocket(BOUNDS)) as connection:
        (marker,) = await events(connection, 1)
    assert (marker["type"], marker["data"]) == ("org.chronovisor.caught-up.v1", {"position": 0})


async def test_both_apis_tell_the_same_story(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket, served: Served
) -> None:
    facts = {"bytes": b"\x00\xff", "nested": {"list": [1, 2.5, None, True]}, "text": "ä\u2028"}
    await supervisor.log.append([supervisor.event("vm/a", "vm.said.v1", facts)])
    await supervisor.say(2, stream="host")
    async with subscriber(await start_websocket(BOUNDS)) as connection:
        over_websocket = [
            (int(one["sequence"]), one["type"].removeprefix("org.chronovisor."), one["data"])
            for one in await events(connection, 3)
        ]
    over_grpc = [
        (one.position, one.type, json.loads(one.data_json))
        for one in await watched(served, v1.WatchEventsRequest())
    ]
    assert over_websocket == over_grpc


async def test_a_subscriber_may_choose_a_vm_and_types(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    for stream, tag in (("vm/a", "vm.x.v1"), ("vm/b", "vm.x.v1"), ("vm/a", "vm.y.v1")):
        await supervisor.log.append([supervisor.event(stream, tag, {})])
    query = "?vm_id=a&type=vm.x.v1&type=org.chronovisor.vm.z.v1"
    async with subscriber(await start_websocket(BOUNDS), query) as connection:
        first, marker = await events(connection, 2)
    assert (first["subject"], first["type"]) == ("vm/a", "org.chronovisor.vm.x.v1")
    assert marker["type"] == "org.chronovisor.caught-up.v1"


async def test_a_client_without_the_subprotocol_is_served_too(
    start_websocket: StartWebsocket,
) -> None:
    address = await start_websocket(BOUNDS)
    async with subscriber(address, subprotocol=False) as connection:
        assert connection.subprotocol is None
        assert len(await events(connection, 1)) == 1


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?after=1", "after"),
        ("?after=18446744073709551616", "after"),
        ("?after=-1", "after"),
        ("?after=1.0", "after"),
        ("?after=", "after"),
        ("?after=%d9%a1", "after"),
        ("?after=0&after=0", "after"),
        ("?log_id=another", "log_id"),
        ("?log_id=", "log_id"),
        ("?vm_id=../a", "vm_id"),
        ("?type=", "type"),
        ("?type=" + "x" * 129, "type"),
        ("?aftr=0", "aftr"),
        ("?after", "query"),
        ("?" + "type=x&" * 70, "query"),
        ("?vm_id=%ff", "query"),
    ],
)
async def test_garbage_is_refused_by_name_before_the_upgrade(
    start_websocket: StartWebsocket, query: str, parameter: str
) -> None:
    rejected = await rejection(await start_websocket(BOUNDS), EVENTS + query)
    assert rejected.status == 400
    assert "content-type: application/json" in rejected.headers
    body = json.loads(rejected.body)
    assert body["parameter"] == parameter
    assert body["error"].startswith(f"{parameter}: ")


async def test_another_path_is_not_found(start_websocket: StartWebsocket) -> None:
    address = await start_websocket(BOUNDS)
    for path in ("/", "/v1/event", "/v1/events/", "//v1/events", "http://[/v1/events"):
        assert (await rejection(address, path)).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        (AUTHORIZED | {"origin": "http://evil.example"}, 403),
        (AUTHORIZED | {"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
    ],
)
async def test_strangers_and_web_pages_are_refused(
    start_websocket: StartWebsocket, headers: Headers, status: int
) -> None:
    rejected = await rejection(await start_websocket(BOUNDS), EVENTS, headers)
    assert rejected.status == status
    assert ("www-authenticate: bearer" in rejected.headers) == (status == 401)


async def test_a_page_of_this_listener_may_connect(start_websocket: StartWebsocket) -> None:
    address = await start_websocket(BOUNDS)
    async with subscriber(address, origin=f"http://{address}") as connection:
        assert len(await events(connection, 1)) == 1


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9022", "127.0.0.2"])
async def test_a_name_that_was_rebound_to_loopback_is_refused(
    start_websocket: StartWebsocket, host: str
) -> None:
    rejected = await rejection(await start_websocket(BOUNDS), host=host)
    assert rejected.status == 403


@pytest.mark.parametrize("message", ["text", b"bytes"])
async def test_a_client_that_speaks_is_told_its_position_and_closed(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket, message: str | bytes
) -> None:
    await supervisor.say(2)
    async with subscriber(await start_websocket(BOUNDS)) as connection:
        await events(connection, 3)
        await connection.send_message(message)
        code, reason = await closed(connection)
    assert (code, reason) == (1003, "this connection takes no messages; resume after 2")


async def test_a_message_that_is_too_long_is_not_even_read(
    start_websocket: StartWebsocket,
) -> None:
    async with subscriber(await start_websocket(BOUNDS)) as connection:
        await connection.send_message("x" * 100_000)
        code, _ = await closed(connection)
    assert code == 1009


@pytest.mark.parametrize(
    "words",
    [
        b"\x00" * 100,
        b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET " + b"x" * 100_000,
        b"GET /v1/events HTTP/1.1\r\nHost: " + b"x" * 70 + b".example\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: \xff\r\n\r\n",
    ],
    ids=["zeros", "no upgrade", "post", "endless line", "host no idna takes", "host not ascii"],
)
async def test_what_is_no_websocket_ends_its_connection_only(
    start_websocket: StartWebsocket, words: bytes
) -> None:
    address = await start_websocket(BOUNDS)
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        try:
            await stream.send_all(words)
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
    async with subscriber(address) as connection:
        assert len(await events(connection, 1)) == 1


async def test_a_client_that_says_nothing_is_hung_up_on(start_websocket: StartWebsocket) -> None:
    address = await start_websocket(Bounds(handshake_s=0.05))
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        assert await stream.receive_some() == b""


@asynccontextmanager
async def stalled(address: Address, target: str = EVENTS) -> AsyncIterator[trio.SocketStream]:
    """A client that reads nothing after the handshake, by hand and with a small buffer."""
    connection = trio.socket.socket()
    connection.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    await connection.connect((address.host, address.port))
    async with trio.SocketStream(connection) as stream:
        await stream.send_all(handshake(str(address), target))
        yield stream


@pytest.mark.fault("subscriber-loses-events")
async def test_a_slow_client_is_told_its_position_once_it_reads_again(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(Bounds(send_s=0.05, recover_s=60))
    for _ in range(200):
        await supervisor.say(1, size=60_000)
    async with stalled(address) as stream:
        await trio.testing.wait_all_tasks_blocked(0.3)  # the server waits for this client alone
        text = bytearray()
        while (told := told_too_slow(text)) is None:
            text += await stream.receive_some()
    assert 0 < told < 200


def told_too_slow(text: bytes | bytearray) -> int | None:
    """Return the position of the close frame at the end of ``text``, once all of it is there."""
    found = TOO_SLOW.search(text, max(0, len(text) - CLOSE_FRAME_BYTES))
    if found is None or len(text) < found.start("payload") + found["size"][0]:
        return None
    assert int.from_bytes(found["code"]) == 1013
    return int(found["position"])


async def test_a_client_that_stays_stalled_is_cut_off_and_slows_nobody(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(Bounds(send_s=0.05, recover_s=2, clients=1))
    for _ in range(200):
        await supervisor.say(1, size=60_000)
    async with stalled(address) as stream:
        assert (await stream.receive_some(32)).startswith(b"HTTP/1.1 101 ")  # it has the place
        assert (await rejection(address)).status == 429
        while not await is_served(address):  # its place is free only once it is cut off
            await trio.testing.wait_all_tasks_blocked(0.01)


async def is_served(address: Address) -> bool:
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(handshake(str(address), f"{EVENTS}?after=200"))
        return b" 101 " in await stream.receive_some(4096)


async def test_more_clients_than_the_bound_are_told_to_come_back(
    start_websocket: StartWebsocket,
) -> None:
    address = await start_websocket(Bounds(clients=2))
    async with subscriber(address) as one, subscriber(address) as two:
        await events(one, 1)
        await events(two, 1)
        rejected = await rejection(address)
    assert rejected.status == 429
    assert b"2 clients are connected" in rejected.body


async def test_of_clients_that_come_at_once_as_many_are_served_as_there_is_room_for(
    start_websocket: StartWebsocket,
) -> None:
    address = await start_websocket(Bounds(clients=1))
    async with (
        await trio.open_tcp_stream(address.host, address.port) as one,
        await trio.open_tcp_stream(address.host, address.port) as other,
    ):
        await other.send_all(b"GET /")  # it is there, and has not asked for anything
        await trio.testing.wait_all_tasks_blocked()
        await one.send_all(handshake(str(address), EVENTS))
        assert b" 101 " in await one.receive_some(4096)
        await other.send_all(handshake(str(address), EVENTS)[5:])
        assert b" 429 " in await other.receive_some(4096)


async def test_a_client_that_answers_no_ping_is_cut_off(
    start_websocket: StartWebsocket,
) -> None:
    address = await start_websocket(Bounds(ping_s=0.02, pong_s=0.05))
    async with stalled(address) as stream:
        with trio.fail_after(PATIENCE):
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass


async def test_a_client_that_answers_pings_stays(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    bounds = Bounds(ping_s=0.1, pong_s=1)
    async with subscriber(await start_websocket(bounds)) as connection:
        await events(connection, 1)
        with trio.move_on_after(2 * (bounds.ping_s + bounds.pong_s)) as while_silent:
            await read_on(connection)
        assert while_silent.cancelled_caught
        await supervisor.say(1)
        assert len(await events(connection, 1)) == 1


async def test_clients_that_vanish_leave_no_task_behind(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(BOUNDS)
    await supervisor.say(3)
    before = trio.lowlevel.current_statistics().tasks_living
    for _ in range(20):
        async with stalled(address) as stream:
            await stream.receive_some()
    while trio.lowlevel.current_statistics().tasks_living > before:
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_when_the_daemon_leaves_its_clients_are_told(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket, leaving: trio.Event
) -> None:
    address = await start_websocket(BOUNDS)
    await supervisor.say(2)
    async with subscriber(address) as connection:
        await events(connection, 3)
        leaving.set()
        assert await closed(connection) == (1001, "the daemon is leaving; resume after 2")


async def test_when_the_log_ends_its_clients_are_told(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(BOUNDS)
    await supervisor.say(2)
    async with subscriber(address) as connection:
        await events(connection, 3)
        async with trio.open_nursery() as ours:
            ours.start_soon(supervisor.log.close)
            assert await closed(connection) == (
                1011,
                "the log takes no more events; resume after 2",
            )
