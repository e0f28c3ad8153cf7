"""Where watches begin and what they leave out: the same over gRPC and WebSocket."""

from datetime import UTC, datetime, timedelta

import pytest
import trio
from chronovisor_api import v1
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from supervisor.api.close_codes import MEANING, CloseCode
from supervisor.api.subscription import LEFT_OUT
from supervisor.api.websocket_peer import BOUNDS
from tests.api.conftest import Served, StartWebsocket
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.test_websocket import events, handshake, rejection, subscriber
from tests.source_tree import ROOT

MASK = b"\0" * 4
CLOSE_FRAME = b"\x88"
MICROSECOND = timedelta(microseconds=1)


async def watched(
    served: Served, request: v1.WatchEventsRequest, count: int
) -> list[v1.WatchEventsResponse]:
    async def take(stub: v1.SupervisorStub) -> list[v1.WatchEventsResponse]:
        watch = stub.watch_events(request)
        return [await anext(watch) for _ in range(count)]

    return await served.ask(take)


def place(response: v1.WatchEventsResponse) -> tuple[str, int]:
    if response.event is not None:
        return "event", response.event.position
    if response.bookmark is not None:
        return "bookmark", response.bookmark.position
    assert response.caught_up is not None
    return "caught-up", response.caught_up.position


async def recorded(supervisor: MemorySupervisor, position: int) -> datetime:
    async for record in supervisor.log.read(position - 1):
        return datetime.fromtimestamp(0, UTC) + MICROSECOND * (record.recorded_at // 1000)
    raise AssertionError(f"there is no position {position}")


async def test_a_watch_may_begin_at_a_moment(
    supervisor: MemorySupervisor, served: Served, start_websocket: StartWebsocket
) -> None:
    await supervisor.say(5)
    moment = await recorded(supervisor, 3)
    over_grpc = await watched(served, v1.WatchEventsRequest(since=moment), 2)
    first = place(over_grpc[0])[1]
    assert first in (2, 3)  # two events may have come within one microsecond
    written = moment.isoformat().replace("+00:00", "Z")
    async with subscriber(await start_websocket(BOUNDS), f"?since={written}") as connection:
        assert int((await events(connection, 1))[0]["sequence"]) == first
    milliseconds = int(moment.timestamp() * 1000)
    async with subscriber(await start_websocket(BOUNDS), f"?since={milliseconds}") as connection:
        assert int((await events(connection, 1))[0]["sequence"]) <= first


async def test_a_moment_after_the_last_event_begins_with_what_happens_next(
    supervisor: MemorySupervisor, served: Served, start_websocket: StartWebsocket
) -> None:
    await supervisor.say(2)
    now = await recorded(supervisor, 2) + MICROSECOND
    (marker,) = await watched(served, v1.WatchEventsRequest(since=now), 1)
    assert place(marker) == ("caught-up", 2)
    query = "?since=" + now.isoformat().replace("+", "%2B")
    async with subscriber(await start_websocket(BOUNDS), query) as connection:
        assert (await events(connection, 1))[0]["data"] == {"position": 2}
        await supervisor.say(1)
        assert int((await events(connection, 1))[0]["sequence"]) == 3


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?since=", "since"),
        ("?since=yesterday", "since"),
        ("?since=2026-11-23T10:00:00+01:00", "since"),
        ("?since=0&after=0", "since"),
        ("?since=2100-01-01T00:00:00Z", "since"),
        ("?since=0&since=0", "since"),
        ("?subject=", "subject"),
        ("?subject=" + "x" * 257, "subject"),
        ("?outcome=", "outcome"),
        ("?outcome=fine", "outcome"),
    ],
)
async def test_nonsense_is_refused_by_name(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket, query: str, parameter: str
) -> None:
    rejected = await rejection(await start_websocket(BOUNDS), f"/v1/events{query}")
    assert rejected.status == 400
    assert f'"parameter":"{parameter}"'.encode() in rejected.body
    assert b"%2B" in rejected.body or "+01" not in query


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (
            v1.WatchEventsRequest(after=1, since=datetime(2026, 1, 1, tzinfo=UTC)),
            "INVALID_ARGUMENT",
        ),
        (v1.WatchEventsRequest(since=datetime(2100, 1, 1, tzinfo=UTC)), "OUT_OF_RANGE"),
        (v1.WatchEventsRequest(stream=""), "INVALID_ARGUMENT"),
        (v1.WatchEventsRequest(outcomes=[v1.Outcome.UNSPECIFIED]), "INVALID_ARGUMENT"),
        (v1.WatchEventsRequest(outcomes=[v1.Outcome(999)]), "INVALID_ARGUMENT"),
    ],
)
async def test_nonsense_is_refused_over_grpc_too(
    supervisor: MemorySupervisor, served: Served, request_: v1.WatchEventsRequest, status: str
) -> None:
    await supervisor.say(1)
    with pytest.raises(GRPCError) as refused:
        await watched(served, request_, 1)
    assert refused.value.status is Status[status]


async def test_streams_and_outcomes_are_chosen_alike(
    supervisor: MemorySupervisor, served: Served, start_websocket: StartWebsocket
) -> None:
    for stream, facts in (
        ("vm/a", {"outcome": "completed"}),
        ("host", {}),
        ("vm/b", {"outcome": "guest-panicked"}),
        ("vm/b", {"outcome": 7}),
        ("vm/b", {}),
    ):
        await supervisor.log.append([supervisor.event(stream, "vm.x.v1", facts)])
    address = await start_websocket(BOUNDS)
    panicked = v1.WatchEventsRequest(outcomes=[v1.Outcome.GUEST_PANICKED, v1.Outcome.QEMU_CRASHED])
    assert [place(one) for one in await watched(served, panicked, 2)] == [
        ("event", 3),
        ("caught-up", 5),
    ]
    async with subscriber(address, "?outcome=guest-panicked&outcome=qemu-crashed") as connection:
        assert [int(one["sequence"]) for one in await events(connection, 2)] == [3, 5]
    host = await watched(served, v1.WatchEventsRequest(stream="host"), 2)
    assert [place(one) for one in host] == [("event", 2), ("caught-up", 5)]
    async with subscriber(address, "?subject=host") as connection:
        assert [int(one["sequence"]) for one in await events(connection, 2)] == [2, 5]


async def test_who_chose_little_is_told_the_place_now_and_then(
    supervisor: MemorySupervisor, served: Served, start_websocket: StartWebsocket
) -> None:
    said = supervisor.event("vm/a", "vm.said.v1", {})
    await supervisor.log.append([said] * (LEFT_OUT - 1))
    await supervisor.say(1, stream="host")
    await supervisor.log.append([said] * (2 * LEFT_OUT + 1))
    told = [
        ("event", LEFT_OUT),
        ("bookmark", 2 * LEFT_OUT),
        ("bookmark", 3 * LEFT_OUT),
        ("caught-up", 3 * LEFT_OUT + 1),
    ]
    answers = await watched(served, v1.WatchEventsRequest(stream="host"), 4)
    assert [place(one) for one in answers] == told
    async with subscriber(await start_websocket(BOUNDS), "?subject=host") as connection:
        over_websocket = await events(connection, 4)
    assert [int(one["sequence"]) for one in over_websocket] == [position for _, position in told]
    assert over_websocket[1]["type"] == "org.chronovisor.bookmark.v1"
    assert over_websocket[1]["data"] == {"position": 2 * LEFT_OUT}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x01a", None),  # not masked
        (b"\x83\x80" + MASK, None),  # an opcode that is reserved
        (b"\x81\x81" + MASK + b"\xff", None),  # no UTF-8
        (b"\x81\x81" + MASK + b"a", CloseCode.UNWANTED_MESSAGE),
        (b"\x81\xfe\x20\x00" + MASK + b"a" * 8192, CloseCode.TOO_LONG),
    ],
)
async def test_who_says_what_is_not_taken_is_told_or_hung_up_on(
    start_websocket: StartWebsocket, frame: bytes, code: CloseCode | None
) -> None:
    address = await start_websocket(BOUNDS)
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(handshake(str(address)))
        greeting = b""
        while not greeting.endswith(b"}"):  # the mark of an empty log
            greeting += await stream.receive_some()
        await stream.send_all(frame)
        close = await stream.receive_some()
    assert close[:1] == (CLOSE_FRAME if code else b"")
    assert int.from_bytes(close[2:4]) == (code or 0)


def test_the_guide_has_every_code_of_a_close() -> None:
    rows = [f"| {code.value} | {MEANING[code]} |" for code in CloseCode]
    table = "\n".join(["| code | when |", "|---|---|", *rows, ""])
    assert table in (ROOT / "docs" / "api.md").read_text()
