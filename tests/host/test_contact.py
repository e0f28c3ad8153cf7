"""The QMP side of a launch against a QEMU that the test plays, over the real kind of socket."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.host.confinement import containment_of
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
PROCESS = ProcessIdentity(2**22 + 42, 4242, "boot")
"""One that no host has (proc(5), pid_max), so that nothing is told of what holds it."""
ANSWERS: dict[str, object] = {
    "qmp_capabilities": {},
    "query-uuid": {"UUID": UUID},
    "query-status": {"status": "paused", "running": False},
    "cont": {},
}


PATIENCE = Patience()
READY = ob.QmpReady(LAUNCH, "7.2.22", containment_of(PROCESS.pid))
SERVES = f"""
import os, socket, time
listener = socket.socket(socket.AF_UNIX)
listener.bind({layout.QMP_SOCKET + ".new"!r})
listener.listen()
os.rename({layout.QMP_SOCKET + ".new"!r}, {layout.QMP_SOCKET!r})
time.sleep(60)
"""


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

    async def answer(self, count: int) -> list[str]:
        """Answer so many commands as an obedient QEMU does; return their names."""
        names: list[str] = []
        while len(names) < count:
            for line in (await self.stream.receive_some()).splitlines():
                request = json.loads(line)
                response = {"id": request["id"], "return": ANSWERS[request["execute"]]}
                await self.stream.send_all(json.dumps(response).encode() + b"\r\n")
                names.append(request["execute"])
        return names


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
    assert await qemu.told(1) == [READY]
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


@pytest.mark.fault("crash-unnoticed")
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
    assert qemu.seen == [READY]


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
    assert qemu.seen == [READY]


@pytest.mark.fault("reader-stalls-qemu")
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


async def opened(qemu: PlayedQemu, nursery: trio.Nursery) -> "Connection":
    """Return a connection over which the contact is ready, and looks after itself."""
    nursery.start_soon(qemu.contact.begin, qemu.report)
    connection = await qemu.greet()
    await connection.answer(2)
    await qemu.told(1)
    return connection


async def test_a_qemu_that_nobody_commands_is_asked_how_it_is(
    qemu: PlayedQemu, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    connection = await opened(qemu, nursery)
    began = trio.current_time()
    for _ in range(3):
        assert await connection.answer(1) == ["query-status"]
    assert trio.current_time() - began == pytest.approx(3 * PATIENCE.pulse_s)
    assert qemu.seen == [READY]
    qemu.exited.set()
    await connection.stream.aclose()


async def test_a_wedged_qemu_is_noticed_in_time_and_back_the_moment_it_answers(
    qemu: PlayedQemu, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    connection = await opened(qemu, nursery)
    began = trio.current_time()
    assert (await qemu.told(2))[1] == ob.QmpLost(LAUNCH, "QEMU did not answer within 10 s")
    assert trio.current_time() - began == pytest.approx(PATIENCE.pulse_s + PATIENCE.command_s)

    # However long it is silent, it is asked no more, and those who ask for it are told so.
    await trio.testing.wait_all_tasks_blocked()
    await qemu.contact.resume(qemu.report, ())
    assert (await qemu.told(3))[2] == ob.ProcessSilent(LAUNCH, "QEMU owes an answer still")

    assert await connection.answer(1) == ["query-status"]
    evidence = ("pidfd watched since it was proven", "same QMP connection")
    assert (await qemu.told(4))[3] == ob.Reattached(LAUNCH, PROCESS, ob.RunState.PAUSED, evidence)
    qemu.exited.set()
    await connection.stream.aclose()


async def test_a_command_that_is_not_answered_is_doubt_at_once(
    qemu: PlayedQemu, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    connection = await opened(qemu, nursery)
    await qemu.contact.execute(QmpCommand.CONT, qemu.report)
    unanswered, lost = (await qemu.told(3))[1:]
    assert isinstance(unanswered, ob.QmpCommandFailed)
    assert unanswered.failure is ob.QmpFailure.UNANSWERED
    assert isinstance(lost, ob.QmpLost)
    answered = await connection.answer(2)
    assert sorted(answered) == ["cont", "query-status"]
    assert isinstance((await qemu.told(4))[3], ob.Reattached)
    qemu.exited.set()
    await connection.stream.aclose()


@pytest.mark.fault("no-greeting")
@pytest.mark.parametrize("spawned", [True, False], ids=["just spawned", "found again"])
async def test_a_greeting_that_comes_late_is_waited_for(
    qemu: PlayedQemu,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    spawned: bool,  # noqa: FBT001
) -> None:
    if spawned:
        nursery.start_soon(qemu.contact.begin, qemu.report)
    else:
        nursery.start_soon(qemu.contact.resume, qemu.report, ("proof",))
    silence = ob.QmpLost if spawned else ob.ProcessSilent
    assert await qemu.told(1) == [silence(LAUNCH, "QEMU did not answer within 15 s")]
    connection = await qemu.greet()
    await connection.answer(3)
    found = (await qemu.told(2))[1]
    assert isinstance(found, ob.Reattached)
    assert f"query-uuid {UUID}" in found.evidence
    qemu.exited.set()
    await connection.stream.aclose()


async def test_a_socket_that_another_process_serves_is_not_believed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stand_in = await trio.lowlevel.open_process([sys.executable, "-c", SERVES], cwd=tmp_path)
    try:
        with trio.fail_after(20):
            while not (tmp_path / layout.QMP_SOCKET).exists():
                await trio.lowlevel.checkpoint()
        seen: list[Observation] = []

        async def report(observation: Observation) -> None:
            seen.append(observation)

        contact = Contact(LAUNCH, tmp_path, UUID, PROCESS, trio.Event(), Patience())
        await contact.resume(report, ())
    finally:
        stand_in.kill()
        await stand_in.wait()
    detail = f"process {stand_in.pid} serves the socket, not {PROCESS.pid}"
    assert seen == [ob.ProcessSilent(LAUNCH, f"QMP cannot be reached: {detail}")]


async def test_a_socket_that_is_not_there_is_silence(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    seen: list[Observation] = []

    async def report(observation: Observation) -> None:
        seen.append(observation)

    contact = Contact(LAUNCH, tmp_path, UUID, PROCESS, trio.Event(), Patience())
    await contact.resume(report, ())
    assert [type(observation) for observation in seen] == [ob.ProcessSilent]
