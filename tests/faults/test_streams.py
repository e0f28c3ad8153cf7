"""Faults between the daemon and a VM: what arrives, what does not, and when."""

import json

import pytest
import trio
import trio.testing

from supervisor.faults.plan import CorruptQmp, DelayQmp, DropQmp, QmpFault, RefuseQmp, StallAgent
from supervisor.faults.streams import FaultyAgent, FaultyQmp
from supervisor.faults.trigger import Trigger
from supervisor.qmp.client import QmpClient
from supervisor.qmp.errors import QmpCommandRefused, QmpDisconnected, QmpTimeout
from supervisor.written.quantities import Duration
from tests.qmp.test_connection import GREETING

SECOND = Duration(1000)


class Qemu:
    """Answers every command, and remembers it with its time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.heard: list[tuple[str, float]] = []
        self._stream = stream

    async def run(self) -> None:
        await self._stream.send_all(GREETING)
        while data := await self._stream.receive_some():
            request = json.loads(data)
            self.heard.append((request["execute"], trio.current_time()))
            answer = {"return": {}, "id": request["id"]}
            await self._stream.send_all(json.dumps(answer).encode() + b"\n")


async def conversation(nursery: trio.Nursery, *faults: QmpFault) -> tuple[QmpClient, Qemu]:
    ours, theirs = trio.testing.memory_stream_pair()
    client = QmpClient(FaultyQmp(ours, [Trigger(fault) for fault in faults]))
    qemu = Qemu(theirs)
    nursery.start_soon(client.run)
    nursery.start_soon(qemu.run)
    await client.negotiate(deadline_s=1)
    qemu.heard.clear()
    return client, qemu


async def test_a_delayed_command_arrives_late(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        client, qemu = await conversation(nursery, DelayQmp("cont", SECOND, nth=2))
        for _ in range(3):
            await client.execute("cont", deadline_s=5)
        assert [at for _, at in qemu.heard] == pytest.approx(
            [qemu.heard[0][1], qemu.heard[0][1] + 1, qemu.heard[0][1] + 1]
        )
        nursery.cancel_scope.cancel()


async def test_a_dropped_command_is_answered_by_nobody(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        client, qemu = await conversation(nursery, DropQmp("cont"))
        with pytest.raises(QmpTimeout):
            await client.execute("cont", deadline_s=5)
        assert qemu.heard == []
        await client.execute("cont", deadline_s=5)
        assert [command for command, _ in qemu.heard] == ["cont"]
        nursery.cancel_scope.cancel()


async def test_a_refused_command_never_arrives_and_the_next_one_does(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with trio.open_nursery() as nursery:
        client, qemu = await conversation(nursery, RefuseQmp("cont"))
        with pytest.raises(QmpCommandRefused, match="refused by the fault plan"):
            await client.execute("cont", deadline_s=5)
        await client.execute("cont", deadline_s=5)
        assert [command for command, _ in qemu.heard] == ["cont"]
        nursery.cancel_scope.cancel()


async def test_a_corrupted_answer_ends_the_conversation(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        client, _ = await conversation(nursery, CorruptQmp("cont"))
        with pytest.raises(QmpDisconnected):
            await client.execute("cont", deadline_s=5)
        nursery.cancel_scope.cancel()


async def test_other_commands_and_other_times_pass(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        client, qemu = await conversation(nursery, DropQmp("cont", nth=3), RefuseQmp("stop"))
        for command in ("cont", "query-status", "cont", "quit"):
            await client.execute(command, deadline_s=5)
        assert [command for command, _ in qemu.heard] == ["cont", "query-status", "cont", "quit"]
        nursery.cancel_scope.cancel()


async def test_a_stalled_agent_is_heard_later_and_whole(autojump_clock: trio.abc.Clock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    agent = FaultyAgent(ours, [Trigger(StallAgent("ready", SECOND, nth=2))])
    lines = [b'{"type": "ready"}\n', b'{"type": "log"}\n', b'{"type": "ready"}\n']
    began = trio.current_time()
    for line in lines:
        await theirs.send_all(line)
        assert await agent.receive_some() == line
    assert trio.current_time() - began == pytest.approx(1)
