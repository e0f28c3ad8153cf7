"""A gRPC client whose windows are wide open and whose socket is full."""

from contextlib import suppress
from pathlib import Path

import h2.events
import trio
import trio.testing
from h2.settings import SettingCodes

from supervisor.api.grpc_call import CallBounds
from tests.api.conftest import start_grpc
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.raw_grpc import frame, headers, raw_client

WINDOW_BYTES = 2**30


async def test_who_reads_nothing_of_its_socket_is_hung_up_on_without_a_word(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, CallBounds(silence_s=0.1))
    await supervisor.say(40, size=60_000)  # more than a socket holds
    async with raw_client(served.unix) as client:
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES})
        client.h2.increment_flow_control_window(WINDOW_BYTES)
        await client.call(headers("WatchEvents"), frame(b""))
        await trio.testing.wait_all_tasks_blocked(0.5)
        came: list[h2.events.Event] = []
        with suppress(trio.BrokenResourceError):
            while data := await client.stream.receive_some():
                came += client.h2.receive_data(data)
    assert any(isinstance(event, h2.events.DataReceived) for event in came)
    assert not any(isinstance(event, h2.events.TrailersReceived) for event in came)
