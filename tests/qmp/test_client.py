"""The client against a scripted server on an in-memory stream, and against a real QEMU."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.qmp.client import QmpClient
from supervisor.qmp.connection import GuestEvent
from supervisor.qmp.errors import QmpCommandRefused, QmpDisconnected, QmpTimeout
from supervisor.qmp.event_buffer import EventBuffer, EventsDropped
from tests.qmp.test_connection import EVENT, GREETING

EVENT_LIMIT = 3
ROUNDS = 5000
"""Each of them two events, a megabyte in all."""
GUARD_S = 240
"""After which a test hangs; the longest of them takes some 3 s."""


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[QmpClient, trio.abc.Stream]]:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        client = QmpClient(ours, event_limit=EVENT_LIMIT)
        nursery.start_soon(client.run)
        yield client, theirs
        nursery.cancel_scope.cancel()


async def answer(server: trio.abc.Stream, **response: object) -> dict[str, object]:
    """Take one command and answer it."""
    request: dict[str, object] = json.loads(await server.receive_some())
    await server.send_all(json.dumps({"id": request["id"], **response}).encode() + b"\r\n")
    return request


async def greeted(client: QmpClient, server: trio.abc.Stream) -> None:
    async with trio.open_nursery() as nursery:
        await server.send_all(GREETING)

        async def capabilities() -> None:
            await answer(server, **{"return": {}})

        nursery.start_soon(capabilities)
        assert await client.negotiate(deadline_s=1) == "7.2.22"


@pytest.mark.fault("no-greeting")
async def test_a_server_that_does_not_greet_is_given_up(autojump_clock: trio.abc.Clock) -> None:
    async with pair() as (client, _):
        with pytest.raises(QmpTimeout, match="greeting"):
            await client.negotiate(deadline_s=30)


async def test_a_server_that_hangs_up_instead_of_greeting_ends_the_wait() -> None:
    async with pair() as (client, server):
        await server.aclose()
        with pytest.raises(QmpDisconnected):
            await client.negotiate(deadline_s=30)


async def test_values_and_errors_reach_whoever_asked(autojump_clock: trio.abc.Clock) -> None:
    async with pair() as (client, server), trio.open_nursery() as nursery:
        await greeted(client, server)

        async def serve() -> None:
            await answer(server, **{"return": {"running": True}})
            await answer(server, error={"class": "GenericError", "desc": "not now"})

        nursery.start_soon(serve)
        assert await client.execute("query-status", deadline_s=1) == {"running": True}
        with pytest.raises(QmpCommandRefused, match="not now"):
            await client.execute("cont", deadline_s=1)


async def test_a_late_answer_is_nobodys(autojump_clock: trio.abc.Clock) -> None:
    async with pair() as (client, server), trio.open_nursery() as nursery:
        await greeted(client, server)
        with pytest.raises(QmpTimeout, match="query-uuid"):
            await client.execute("query-uuid", deadline_s=1)
        await answer(server, **{"return": "late"})

        async def serve() -> None:
            await answer(server, **{"return": "in time"})

        nursery.start_soon(serve)
        assert await client.execute("query-status", deadline_s=1) == "in time"


@pytest.mark.parametrize("end", [b"", b"garbage\n"], ids=["hang up", "garbage"])
async def test_every_command_under_way_ends_with_the_connection(end: bytes) -> None:
    async with pair() as (client, server):
        await greeted(client, server)
        failures: list[QmpDisconnected] = []

        async def ask() -> None:
            try:
                await client.execute("query-status", deadline_s=1000)
            except QmpDisconnected as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            await (server.send_all(end) if end else server.aclose())
        assert len(failures) == 2
        assert [event async for event in client.events] == []
        with pytest.raises(QmpDisconnected):
            await client.execute("cont", deadline_s=1)


async def test_a_command_that_cannot_be_sent_ends_the_conversation(
    autojump_clock: trio.abc.Clock,
) -> None:
    ours, _ = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        client = QmpClient(ours)
        nursery.start_soon(client.run)
        with pytest.raises(QmpTimeout):
            await client.execute("cont", deadline_s=1)
        with pytest.raises(QmpDisconnected, match="could not be sent"):
            await client.execute("stop", deadline_s=1)
        nursery.cancel_scope.cancel()


@pytest.mark.fault("reader-stalls-qemu")
async def test_events_that_nobody_takes_are_counted_where_they_came() -> None:
    async with pair() as (client, server):
        await greeted(client, server)
        await server.send_all(EVENT * (EVENT_LIMIT + 5))
        await trio.testing.wait_all_tasks_blocked()
        await server.aclose()
        heard = [event async for event in client.events]
    stop = GuestEvent("STOP", {})
    assert heard == [stop, stop, stop, EventsDropped(5)]


async def test_what_follows_a_drop_stands_behind_it() -> None:
    buffer = EventBuffer(1)
    buffer.put(GuestEvent("first", {}))
    buffer.put(GuestEvent("lost", {}))
    assert await anext(buffer) == GuestEvent("first", {})
    assert await anext(buffer) == EventsDropped(1)
    buffer.put(GuestEvent("second", {}))
    buffer.close()
    assert [event async for event in buffer] == [GuestEvent("second", {})]


@asynccontextmanager
async def real_qemu(directory: Path) -> AsyncIterator[tuple[QmpClient, trio.Process]]:
    """A QEMU without a machine, and a client that it has greeted; it must be told to quit."""
    path = directory / "qmp.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        chardev = f"socket,id=q,fd={listener.fileno()},server=on,wait=off"
        command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none"]
        process = await trio.lowlevel.open_process(
            [*command, "-chardev", chardev, "-mon", "chardev=q,mode=control"],
            pass_fds=(listener.fileno(),),
        )
    with trio.fail_after(GUARD_S):
        async with await trio.open_unix_socket(path) as stream, trio.open_nursery() as nursery:
            client = QmpClient(stream, event_limit=EVENT_LIMIT)
            nursery.start_soon(client.run)
            await client.negotiate(deadline_s=GUARD_S)
            yield client, process
            nursery.cancel_scope.cancel()
        assert await process.wait() == 0


@pytest.mark.qemu
@pytest.mark.fault("long-answer")
async def test_a_real_qemu_answers_even_with_200_kilobytes(tmp_path: Path) -> None:
    async with real_qemu(tmp_path) as (client, _):
        schema = await client.execute("query-qmp-schema", deadline_s=GUARD_S)
        assert len(json.dumps(schema)) > 100_000
        await client.execute("quit", deadline_s=GUARD_S)
        assert [event.name async for event in client.events if isinstance(event, GuestEvent)]


def resident_kib(process: trio.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1])


@pytest.mark.qemu
@pytest.mark.fault("reader-stalls-qemu")
async def test_a_real_qemu_does_not_grow_while_nobody_takes_its_events(tmp_path: Path) -> None:
    async with real_qemu(tmp_path) as (client, process):
        await _stop_and_go(client, 100)
        before = resident_kib(process)
        await _stop_and_go(client, ROUNDS)
        assert resident_kib(process) - before < ROUNDS * 2 * 64 // 1024
        await client.execute("quit", deadline_s=GUARD_S)
        heard = [event async for event in client.events]
    (dropped,) = [event.count for event in heard if isinstance(event, EventsDropped)]
    assert len(heard) == EVENT_LIMIT + 1
    assert dropped >= ROUNDS * 2


async def _stop_and_go(client: QmpClient, rounds: int) -> None:
    for _ in range(rounds):
        await client.execute("stop", deadline_s=GUARD_S)
        await client.execute("cont", deadline_s=GUARD_S)
