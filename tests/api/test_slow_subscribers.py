"""Where a WebSocket client that fell behind is told to go on, and what it is not told."""

import re

import pytest
import trio.testing

from supervisor.api.websocket_peer import Bounds
from tests.api.conftest import StartWebsocket
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.test_websocket import stalled, told_too_slow

COMMITS, TOGETHER = 10, 15
SIZE = 60_000
"""Of an event: some of them are more than a connection takes of a client that reads nothing."""
SEQUENCE = re.compile(rb'"sequence":"([0-9]{20})"')


async def say_much(supervisor: MemorySupervisor) -> None:
    """Append commits that are each more than one write."""
    event = supervisor.event("vm/a", "vm.said.v1", {"text": "x" * SIZE})
    for _ in range(COMMITS):
        await supervisor.log.append([event] * TOGETHER)


@pytest.mark.fault("subscriber-loses-events")
async def test_who_was_too_slow_goes_on_after_the_last_event_that_it_got(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    await say_much(supervisor)
    async with stalled(await start_websocket(Bounds(send_s=0.05, recover_s=60))) as stream:
        await trio.testing.wait_all_tasks_blocked(0.3)  # the server waits for this client alone
        text = bytearray()
        while (told := told_too_slow(text)) is None:
            text += await stream.receive_some()
    assert told == int(SEQUENCE.findall(text)[-1])


async def test_who_stays_too_slow_is_told_nothing_in_the_middle_of_an_event(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket
) -> None:
    await say_much(supervisor)
    async with stalled(await start_websocket(Bounds(send_s=0.05, recover_s=0.05))) as stream:
        await trio.testing.wait_all_tasks_blocked(0.3)
        text = b"".join([data async for data in stream])
    assert SEQUENCE.search(text)
    assert b"too slow" not in text
