"""The QMP side of a launch against a QEMU that the test plays, over the real kind of socket."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from supervisor.host.contact import Contact, Patience
from supervisor.host.sockets import listen
from supervisor.qmp.client import EVENT_LIMIT
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import Observation, ProcessIdentity
from tests.qmp.test_connection import EVENT, GREETING

LAUNCH = 5
UUID = "11111111-2222-5333-8444-555555555555"
PROCESS = ProcessIdentity(42, 4242, "boot")
ANSWERS: dict[str, object] = {
    "qmp_capabilities": {},
    "query-uuid": {"UUID": UUID},
    "query-status": {"status": "paused", "running": False},
    "cont": {},
}


class PlayedQemu:
    """The server's end, with everything that the contact reported."""

    def __init__(self, directory: Path) -> None:
        self.exited = trio.Event()
        self.contact = Contact(LAUNCH, directory, UUID, PROCESS, self.exited, Patience())
        self.seen: list[Observation] = []
        self.room = trio.Event()
        self.room.set()
        self._news = trio.Condition()
        self.listener = trio.SocketListener(
            trio.socket.from_stdlib_socket(listen(directory, layout.QMP_SOCKET))
        )

    async def report(self, observation: Observation) -> None:
        async with self._news:
            self.seen.append(observation)
            self._news.notify_all()
        await self.room.wait()

    async def told(self, count: int) -> list[Observation]:
        async with self._news:
            while len(self.seen) < count:
                await self._news.wait()
        return self.seen

    async def greet(self) -> "Connection":
        stream = await self.listener.accept()
        await stream.send_all(GREETING)
        return Connection(stream)


class Connection:
    """One accepted connection of the played QEMU."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    async def answer(self, count: int) -> None:
        """Answer so many commands as an obedient QEMU does."""
        for _ in range(count):
            request = json.loads(await self.stream.receive_some())
            response = {"id": request["id"], "return": ANSWERS[request["execute"]]}
            await self.stream.send_all(json.dumps(response).encode() + b"\r\n")


@pytest.fixture
async def qemu(tmp_path: Path) -> AsyncIterator[PlayedQemu]:
    qemu = PlayedQemu(tmp_path)
    async with qemu.listener:
        yield qemu


@pytest.mark.parametrize("end", [b"", b"garbage\n"], ids=["hangs up", "speaks garbage"])
async def test_a_qemu_that_leaves_and_lives_has_lost_contact_and_may_be_found_again(
    qemu: PlayedQemu, nursery: trio.Nursery, autojump_clock: trio.abc.Clock, end: bytes
) -> None:
    nursery.start_soon(qemu.contact.begin, qemu.report)
    connection = await qemu.greet()
    await connection.answer(2)
    assert await qemu.told(1) == [ob.QmpReady(LAUNCH, "7.2.22")]
    await (connection.stream.send_all(end) if end else connection.stream.aclose())
    assert isinstance((await qemu.told(2))[1], ob.QmpLost)
    await connection.stream.aclose()

    nursery.start_soon(qemu.contact.resume, qemu.report, ("proof",))
    connection = await qemu.greet()
    await connection.answer(3)
    evidence = ("proof", f"query-uuid {UUID}")
    again = ob.Reattached(LAUNCH, PROCESS, ob.RunState.PAUSED, evidence)
    assert (await qemu.told(3))[2] == again
    await connection.stream.aclose()
    qemu.exited.set()


async def test_a_qemu_that_leaves_and_dies_has_not_lost_contact(
    qemu: PlayedQemu, autojump_clock: trio.abc.Clock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(qemu.contact.begin, qemu.report)
        connection = await qemu.greet()
        await connection.answer(2)
        await qemu.told(1)
        await connection.stream.aclose()
        qemu.exited.set()
    assert qemu.seen == [ob.QmpReady(LAUNCH, "7.2.22")]


async def test_quit_may_be_answered_by_hanging_up(
    qemu: PlayedQemu, autojump_clock: trio.abc.Clock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(qemu.contact.begin, qemu.report)
        connection = await qemu.greet()
        await connection.answer(2)
        await qemu.told(1)
        nursery.start_soon(qemu.contact.execute, QmpCommand.QUIT, qemu.report)
        await connection.stream.receive_some()
        await connection.stream.aclose()
        qemu.exited.set()
    assert qemu.seen == [ob.QmpReady(LAUNCH, "7.2.22")]


async def test_events_beyond_what_the_mailbox_takes_are_counted(
    qemu: PlayedQemu, autojump_clock: trio.abc.Clock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(qemu.contact.begin, qemu.report)
        connection = await qemu.greet()
        await connection.answer(2)
        await qemu.told(1)
        qemu.room = trio.Event()
        await connection.stream.send_all(EVENT * (EVENT_LIMIT + 10))
        await qemu.told(2)
        nursery.start_soon(qemu.contact.execute, QmpCommand.CONT, qemu.report)
        await connection.answer(1)
        qemu.room.set()
        await connection.stream.aclose()
        qemu.exited.set()
    stopped = [seen for seen in qemu.seen if seen == ob.GuestStopped(LAUNCH)]
    dropped = [seen.count for seen in qemu.seen if isinstance(seen, ob.ObservationsDropped)]
    assert len(stopped) + sum(dropped) == EVENT_LIMIT + 10
    assert len(stopped) >= EVENT_LIMIT


async def test_a_socket_that_is_not_there_is_silence(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    seen: list[Observation] = []

    async def report(observation: Observation) -> None:
        seen.append(observation)

    contact = Contact(LAUNCH, tmp_path, UUID, PROCESS, trio.Event(), Patience())
    await contact.resume(report, ())
    assert [type(observation) for observation in seen] == [ob.ProcessSilent]
