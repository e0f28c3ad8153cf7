"""The log as Server-Sent Events: every position once, also over broken connections."""

import random
from functools import partial

import httpx
import pytest
import trio
import trio.testing

from supervisor.api.cloudevents import CAUGHT_UP_TYPE
from supervisor.api.listeners import address_of, bind_tcp
from supervisor.api.readiness import Readiness
from supervisor.config import Address
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.server import serve_http
from supervisor.telemetry.metrics import Metrics
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import BEARER, DOOR, TOKEN, Serve, Served, violations
from tests.http_api.event_source import following


async def test_replay_then_the_mark_then_what_happens(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(3)
    async with following(served) as events:
        replayed = await events.take(4)
        await supervisor.say(1)
        (live,) = await events.take(1)
    log_id = supervisor.log.log_id
    assert [name for name, _ in (*replayed, live)] == [f"{log_id}/{n}" for n in (1, 2, 3, 3, 4)]
    assert [int(event["sequence"]) for _, event in replayed] == [1, 2, 3, 3]
    assert replayed[3][1]["type"] == CAUGHT_UP_TYPE
    assert live[1]["type"] == "org.chronovisor.vm.said.v1"
    assert live[1]["data"] == {"text": "x" * 10}


async def test_a_client_that_comes_back_goes_on_where_it_was(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(5)
    async with following(served, "?after=1", f"{supervisor.log.log_id}/3") as events:
        assert [int(event["sequence"]) for _, event in await events.take(3)] == [4, 5, 5]
    async with following(served, last_event_id="4") as events:
        assert [int(event["sequence"]) for _, event in await events.take(2)] == [5, 5]


async def test_a_client_that_reconnects_100_times_has_every_position_once(
    served: Served, supervisor: MemorySupervisor
) -> None:
    chance, seen, last = random.Random(1), [], ""
    for _ in range(100):
        await supervisor.say(chance.randrange(3))
        async with following(served, last_event_id=last) as events:
            for _ in range(chance.randrange(4)):
                last, event = await events.event()
                if event["type"] == CAUGHT_UP_TYPE:
                    break
                seen.append(int(event["sequence"]))
    async with following(served, last_event_id=last) as events:
        seen += await events.replayed()
    assert seen == list(range(1, supervisor.log.head + 1))


async def test_filters_leave_out_other_vms_and_types(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(2, stream="vm/a")
    await supervisor.say(2, stream="vm/b")
    async with following(served, "?vm_id=b&type=vm.said.v1") as events:
        assert [int(event["sequence"]) for _, event in await events.take(3)] == [3, 4, 4]
    async with following(served, "?type=org.chronovisor.vm.other.v1") as events:
        assert (await events.event())[1]["type"] == CAUGHT_UP_TYPE


@pytest.mark.parametrize(
    ("query", "last", "status", "field"),
    [
        ("?after=x", "", 400, "after"),
        ("?after=-1", "", 400, "after"),
        ("?after=1&after=2", "", 400, "after"),
        ("?after=99", "", 400, "after"),
        ("?log_id=other&after=0", "", 400, "log_id"),
        ("?vm_id=../x", "", 400, "vm_id"),
        ("?what=1", "", 400, "what"),
        ("?%ff", "", 400, "query"),
        ("", "x", 400, "Last-Event-ID"),
        ("", "a/b/1", 400, "Last-Event-ID"),
        ("", "other/0", 400, "log_id"),
        ("", "99", 400, "after"),
    ],
)
async def test_a_question_that_is_wrong_is_told_so(
    client: httpx.AsyncClient, query: str, last: str, status: int, field: str
) -> None:
    headers = {"Last-Event-ID": last} if last else {}
    answer = await client.get(f"/v1/events{query}", headers=headers)
    assert answer.status_code == status
    assert field in violations(answer)


async def test_a_client_that_vanishes_leaves_no_task_behind(
    serve: Serve, supervisor: MemorySupervisor
) -> None:
    served = await serve(Bounds(heartbeat_s=3600, idle_s=3600))
    await supervisor.say(3)
    before = trio.lowlevel.current_statistics().tasks_living
    for _ in range(20):
        async with following(served) as events:
            await events.event()
    while trio.lowlevel.current_statistics().tasks_living > before:
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_silence_is_broken_by_comments(serve: Serve) -> None:
    served = await serve(Bounds(heartbeat_s=0.01))
    async with following(served) as events:
        comments = 0
        while comments < 3:
            comments += await events.line() == ":"


async def connected_with_little_room(address: Address) -> trio.SocketStream:
    """Connect with a small receive buffer: the system's own may hold all that a test can say."""
    socket = trio.socket.socket()
    socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 1 << 16)
    await socket.connect((address.host, address.port))
    return trio.SocketStream(socket)


async def test_a_client_that_takes_nothing_is_hung_up_on_and_delays_nobody(
    serve: Serve, supervisor: MemorySupervisor
) -> None:
    served = await serve(Bounds(send_s=0.2, heartbeat_s=0.5))
    async with await connected_with_little_room(served.address) as stalled:
        request = f"GET /v1/events HTTP/1.1\r\nHost: {served.address}\r\n"
        token = BEARER["Authorization"]
        await stalled.send_all(f"{request}Authorization: {token}\r\n\r\n".encode())
        await supervisor.say(400, size=60_000)  # more than what the server's socket holds
        async with following(served, f"?after={supervisor.log.head}") as events:
            await events.event()
            await supervisor.say(1)
            await events.event()
            while await events.line() != ":":
                pass  # by then the patience with the other has run out
        received = b""
        try:
            while piece := await stalled.receive_some():
                received += piece
        except trio.BrokenResourceError:
            pass
    assert received.count(b"\ndata: ") < 400


async def test_a_client_that_takes_nothing_does_not_keep_the_daemon_from_leaving(
    supervisor: MemorySupervisor,
) -> None:
    tcp = bind_tcp(Address("127.0.0.1", 0))
    address = address_of(tcp)
    serve = partial(serve_http, supervisor, tcp=tcp, door=DOOR, readiness=Readiness())
    async with (
        await connected_with_little_room(address) as stalled,
        trio.open_nursery() as server,
    ):
        await server.start(partial(serve, metrics=Metrics()))
        request = f"GET /v1/events HTTP/1.1\r\nHost: {address}\r\n"
        await stalled.send_all(f"{request}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        await supervisor.say(400, size=60_000)
        await trio.testing.wait_all_tasks_blocked(0.05)
        server.cancel_scope.cancel()
        began = trio.current_time()
    assert trio.current_time() - began < 15  # of the 20 s that a client gets to take a piece
