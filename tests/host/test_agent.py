"""The agent channel against a guest that the test plays, over the real kind of socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.host import agent_protocol as protocol
from supervisor.host.agent import AgentChannel
from supervisor.host.sockets import listen
from supervisor.vm import layout
from supervisor.vm import observations as ob
from supervisor.vm.observations import Observation
from tests.host.test_agent_protocol import LAUNCH, READY, line

LOG_BYTES = 4096
FLOOD_LINES = 100_000


class Guest:
    """The guest's end: accepts the host's connections, one after another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.exited = trio.Event()
        self.channel = AgentChannel(LAUNCH, directory, LOG_BYTES, self.exited)
        self.seen: list[Observation] = []
        self.room = trio.Event()
        self.room.set()
        self._news = trio.Condition()
        self._left = trio.Event()
        self._listener = trio.SocketListener(
            trio.socket.from_stdlib_socket(listen(directory, layout.AGENT_SOCKET))
        )

    async def accept(self) -> trio.SocketStream:
        stream = await self._listener.accept()
        assert await self.hear(stream) == b"\n"
        return stream

    async def hear(self, stream: trio.SocketStream) -> bytes:
        return bytes(await stream.receive_some())

    async def report(self, observation: Observation) -> None:
        await self.room.wait()
        async with self._news:
            self.seen.append(observation)
            self._news.notify_all()

    async def told(self, count: int) -> list[Observation]:
        """Return what was reported, once it is as much."""
        async with self._news:
            while len(self.seen) < count:
                await self._news.wait()
        return self.seen

    async def end(self) -> list[Observation]:
        """Let QEMU exit, and return what was reported in all."""
        self.exited.set()
        await self._left.wait()
        return self.seen

    async def attended(self) -> None:
        """Run the host's end."""
        await self.channel.attend(self.report)
        self._left.set()


@pytest.fixture
async def guest(tmp_path: Path) -> AsyncIterator[Guest]:
    async with attended(Guest(tmp_path)) as guest:
        yield guest


@asynccontextmanager
async def attended(guest: Guest) -> AsyncIterator[Guest]:
    async with guest._listener, trio.open_nursery() as nursery:
        nursery.start_soon(guest.attended)
        yield guest
        nursery.cancel_scope.cancel()


async def test_words_become_observations(guest: Guest, autojump_clock: trio.abc.Clock) -> None:
    async with await guest.accept() as stream:
        await stream.send_all(READY + line(type="started", seq=2))
        await stream.send_all(line(type="finished", seq=3, exit_code=1, length=7, error="e"))
        assert await guest.told(3) == [
            ob.AgentReady(LAUNCH, 1),
            ob.AgentStarted(LAUNCH, 2),
            ob.AgentFinished(LAUNCH, 3, 1, 7, "e", ""),
        ]


async def test_the_host_speaks_lines(guest: Guest) -> None:
    async with await guest.accept() as stream:
        await guest.channel.send(protocol.acknowledge(LAUNCH, 9))
        assert await guest.hear(stream) == b'{"v":1,"type":"ack","launch":3,"seq":9}\n'


async def test_speaking_to_nobody_is_harmless(tmp_path: Path) -> None:
    channel = AgentChannel(LAUNCH, tmp_path, LOG_BYTES, trio.Event())
    await channel.send(protocol.start(LAUNCH))


async def test_a_broken_connection_is_made_again(
    guest: Guest, autojump_clock: trio.abc.Clock
) -> None:
    async with await guest.accept() as stream:
        await stream.send_all(READY[:10])
    async with await guest.accept() as stream:
        await stream.send_all(READY)
        assert await guest.told(1) == [ob.AgentReady(LAUNCH, 1)]


@pytest.mark.parametrize("garbage", [b"\x7fELF\x00\n", b"x" * 5000], ids=["binary", "long"])
async def test_a_guest_that_breaks_the_protocol_is_told_of_once(
    guest: Guest, garbage: bytes, autojump_clock: trio.abc.Clock
) -> None:
    async with await guest.accept() as stream:
        await stream.send_all(READY)
        await guest.told(1)
        await stream.send_all(garbage)
        await guest.told(2)
        with pytest.raises(trio.BrokenResourceError):
            await flood(stream)
    assert kinds(await guest.end()) == [ob.AgentReady, ob.AgentBrokeProtocol]


async def test_the_newest_progress_gets_through_once_a_second(
    guest: Guest, autojump_clock: trio.abc.Clock
) -> None:
    began = trio.current_time()
    async with await guest.accept() as stream:
        for step in range(100):
            await stream.send_all(progress(step / 100, str(step)))
        await guest.told(2)
    told = [seen.message for seen in await guest.end() if isinstance(seen, ob.AgentProgress)]
    assert told[-1] == "99"
    assert len(told) <= 2 + trio.current_time() - began


async def test_progress_comes_before_the_end(guest: Guest, autojump_clock: trio.abc.Clock) -> None:
    async with await guest.accept() as stream:
        finished = line(type="finished", exit_code=0, length=0)
        await stream.send_all(progress(0.1, "") + progress(1, "") + finished)
        last = (await guest.told(2))[-2:]
        assert last == [ob.AgentProgress(LAUNCH, 1.0, ""), ob.AgentFinished(LAUNCH, 1, 0, 0)]


async def test_log_lines_stay_in_their_bounded_file(
    guest: Guest, autojump_clock: trio.abc.Clock
) -> None:
    async with await guest.accept() as stream:
        for number in range(200):
            text = f"line {number} \x1b[2J"
            await stream.send_all(line(type="log", stream="stdout", line=text))
    assert await guest.end() == []
    newest = guest.directory / layout.GUEST_LOG
    older = guest.directory / f"{layout.GUEST_LOG}.1"
    assert newest.read_text().splitlines()[-1] == "line 199 \ufffd[2J"
    assert LOG_BYTES / 4 < newest.stat().st_size + older.stat().st_size <= LOG_BYTES


async def test_a_guest_that_floods_is_slowed_by_its_own_socket(
    guest: Guest, autojump_clock: trio.abc.Clock
) -> None:
    guest.room = trio.Event()
    async with await guest.accept() as stream:
        with trio.move_on_after(60) as patience:
            await flood(stream)
        assert patience.cancelled_caught
        assert guest.seen == []


async def test_a_guest_is_read_at_one_mebibyte_a_second(
    guest: Guest, autojump_clock: trio.abc.Clock
) -> None:
    text = line(type="log", stream="stdout", line="x" * 4000)
    async with await guest.accept() as stream:
        began = trio.current_time()
        for _ in range(256 * 1024 // len(text)):
            await stream.send_all(text)
        await stream.send_all(READY)
        await guest.told(1)
    assert trio.current_time() - began == pytest.approx(0.25, abs=0.03)


async def test_what_was_said_last_is_heard_after_the_exit(
    guest: Guest, autojump_clock: trio.abc.Clock
) -> None:
    async with await guest.accept() as stream:
        await stream.send_all(READY)
    assert await guest.end() == [ob.AgentReady(LAUNCH, 1)]


def progress(fraction: float, message: str) -> bytes:
    return line(type="progress", fraction=fraction, message=message)


def kinds(observations: list[Observation]) -> list[type[Observation]]:
    return [type(observation) for observation in observations]


async def flood(stream: trio.SocketStream) -> None:
    """Send until the host refuses, and never more than any socket could hold."""
    for _ in range(FLOOD_LINES):
        await stream.send_all(READY)
