"""The log as Server-Sent Events: every position once, also over broken connections."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from supervisor.api.cloudevents import CAUGHT_UP_TYPE
from supervisor.http_api.bounds import Bounds
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import BEARER, Json, Serve, Served, violations

Stream = AsyncIterator[tuple[str, Json]]


@asynccontextmanager
async def following(
    served: Served, query: str = "", last_event_id: str = ""
) -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with (
        served.client({**BEARER, **headers}) as client,
        client.stream("GET", f"/v1/events{query}") as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _events(response)


async def _events(response: httpx.Response) -> Stream:
    event_id = ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        elif name == "data":
            yield event_id, json.loads(value)


async def take(events: Stream, count: int) -> list[tuple[str, Json]]:
    return [await anext(events) for _ in range(count)]


async def test_replay_then_the_mark_then_what_happens(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(3)
    async with following(served) as events:
        replayed = await take(events, 4)
        await supervisor.say(1)
        (live,) = await take(events, 1)
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
        assert [int(event["sequence"]) for _, event in await take(events, 3)] == [4, 5, 5]
    async with following(served, last_event_id="4") as events:
        assert [int(event["sequence"]) for _, event in await take(events, 2)] == [5, 5]


async def test_a_client_that_reconnects_100_times_has_every_position_once(
    served: Served, supervisor: MemorySupervisor
) -> None:
    chance, seen, last = random.Random(1), [], ""
    for _ in range(100):
        await supervisor.say(chance.randrange(3))
        async with following(served, last_event_id=last) as events:
            for _ in range(chance.randrange(4)):
                last, event = await anext(events)
                if event["type"] == CAUGHT_UP_TYPE:
                    break
                seen.append(int(event["sequence"]))
    async with following(served, last_event_id=last) as events:
        async for _, event in events:
            if event["type"] == CAUGHT_UP_TYPE:
                break
            seen.append(int(event["sequence"]))
    assert seen == list(range(1, supervisor.log.head + 1))


async def test_filters_leave_out_other_vms_and_types(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(2, stream="vm/a")
    await supervisor.say(2, stream="vm/b")
    async with following(served, "?vm_id=b&type=vm.said.v1") as events:
        assert [int(event["sequence"]) for _, event in await take(events, 3)] == [3, 4, 4]
    async with following(served, "?type=org.chronovisor.vm.other.v1") as events:
        assert (await anext(events))[1]["type"] == CAUGHT_UP_TYPE


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


async def test_silence_is_broken_by_comments(serve: Serve) -> None:
    served = await serve(Bounds(heartbeat_s=0.01))
    comments = 0
    async with served.client() as client, client.stream("GET", "/v1/events") as response:
        async for line in response.aiter_lines():
            comments += line == ":"
            if comments == 3:
                break


async def test_a_client_that_takes_nothing_is_hung_up_on_and_delays_nobody(
    serve: Serve, supervisor: MemorySupervisor
) -> None:
    served = await serve(Bounds(send_s=0.2))
    stalled = await trio.open_tcp_stream(served.address.host, served.address.port)
    async with stalled:
        request = f"GET /v1/events HTTP/1.1\r\nHost: {served.address}\r\n"
        token = BEARER["Authorization"]
        await stalled.send_all(f"{request}Authorization: {token}\r\n\r\n".encode())
        await supervisor.say(400, size=60_000)  # more than the sockets' buffers hold
        async with following(served, f"?after={supervisor.log.head}") as events:
            await anext(events)
            await supervisor.say(1)
            await anext(events)
        received = b""
        try:
            while piece := await stalled.receive_some():
                received += piece
        except trio.BrokenResourceError:
            pass
    assert received.count(b"\ndata: ") < 400
