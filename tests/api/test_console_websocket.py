"""A guest's console over WebSocket, with a serial line that behaves as QEMU's does."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
from trio_websocket import WebSocketConnection, wrap_client_stream

from supervisor.actor import VmRef
from supervisor.api.websocket_peer import BOUNDS
from supervisor.config import Address
from supervisor.consoles import VIEWERS
from supervisor.host.sockets import listen
from supervisor.registry import Registry
from supervisor.vm.layout import CONSOLE_LOG, CONSOLE_SOCKET
from supervisor.vm.spec import MIB
from supervisor.vm.state import Phase
from tests.api.conftest import StartWebsocket
from tests.api.test_websocket import AUTHORIZED, closed, rejection, stalled
from tests.vm.states import EXITED, PREPARED, QMP_READY, RESUMED, SPAWNED, after, defined

RUNNING = after(defined(), PREPARED, SPAWNED, QMP_READY, RESUMED)
CRASHED = after(RUNNING, EXITED)
PATH = "/v1/console/iris"


class Serial:
    """QEMU's side: it echoes in capitals, to its client first and to the log then."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._log = directory / CONSOLE_LOG
        self._listener = listen(directory, CONSOLE_SOCKET)
        self.clients = 0

    def say(self, data: bytes) -> None:
        with self._log.open("ab") as log:
            log.write(data)

    async def serve(self) -> None:
        with trio.socket.from_stdlib_socket(self._listener) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            while True:  # one client at a time, as QEMU
                connection, _ = await listener.accept()
                await self._converse(trio.SocketStream(connection))

    async def _converse(self, stream: trio.SocketStream) -> None:
        self.clients += 1
        async with stream:
            while data := await stream.receive_some():
                await stream.send_all(data.upper())
                self.say(data.upper())
        self.clients -= 1


@pytest.fixture
def vm(registry: Registry) -> VmRef:
    return registry.add(RUNNING)


@pytest.fixture
def serial(vm: VmRef, tmp_path: Path, nursery: trio.Nursery) -> Serial:
    serial = Serial(tmp_path / "vms" / "iris" / "launch-1")
    nursery.start_soon(serial.serve)
    return serial


@asynccontextmanager
async def viewer(address: Address, query: str = "") -> AsyncIterator[WebSocketConnection]:
    async with (
        await trio.open_tcp_stream(address.host, address.port) as stream,
        trio.open_nursery() as nursery,
    ):
        headers = [(name.encode(), value.encode()) for name, value in AUTHORIZED.items()]
        wrap = partial(wrap_client_stream, nursery, stream, str(address), PATH + query)
        yield await wrap(extra_headers=headers)
        nursery.cancel_scope.cancel()


async def shown(connection: WebSocketConnection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        message = await connection.get_message()
        assert isinstance(message, bytes)
        data += message
    return data


async def test_a_viewer_sees_all_from_the_beginning_and_what_it_types_goes_to_the_guest(
    serial: Serial, start_websocket: StartWebsocket
) -> None:
    serial.say(b"booted\n")
    async with viewer(await start_websocket(BOUNDS)) as connection:
        assert await shown(connection, 7) == b"booted\n"
        await connection.send_message(b"ls\n")
        assert await shown(connection, 3) == b"LS\n"
        serial.say(b"late\n")
        assert await shown(connection, 5) == b"late\n"


async def test_every_viewer_sees_what_any_of_them_types_over_one_connection(
    serial: Serial, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(BOUNDS)
    async with viewer(address) as one, viewer(address, "?launch=1") as other:
        await one.send_message(b"one\n")
        assert (await shown(one, 4), await shown(other, 4)) == (b"ONE\n", b"ONE\n")
        await other.send_message(b"other\n")
        assert (await shown(one, 6), await shown(other, 6)) == (b"OTHER\n", b"OTHER\n")
        assert serial.clients == 1
    while serial.clients:  # nobody looks any more: nothing is connected that could stall the guest
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_guest_that_says_much_is_not_stalled_by_a_viewer_that_does_not_read(
    serial: Serial, start_websocket: StartWebsocket
) -> None:
    address = await start_websocket(BOUNDS)
    async with viewer(address) as idle, viewer(address) as busy:
        for number in range(50):
            await busy.send_message(b"%03d" % number * 1000)
            assert await shown(busy, 3000) == b"%03d" % number * 1000
        assert len(await shown(idle, 150_000)) == 150_000


async def test_the_end_of_the_launch_is_the_end_after_its_last_word(
    serial: Serial, vm: VmRef, start_websocket: StartWebsocket
) -> None:
    async with viewer(await start_websocket(BOUNDS)) as connection:
        await connection.send_message(b"bye\n")
        assert await shown(connection, 4) == b"BYE\n"
        serial.say(b"last\n")
        vm.state = CRASHED
        assert await shown(connection, 5) == b"last\n"
        assert await closed(connection) == (1000, "the launch has ended")


async def test_a_launch_that_ended_is_shown_to_its_end(
    serial: Serial, vm: VmRef, start_websocket: StartWebsocket
) -> None:
    serial.say(b"all\n")
    vm.state = CRASHED
    async with viewer(await start_websocket(BOUNDS)) as connection:
        assert await shown(connection, 4) == b"all\n"
        assert await closed(connection) == (1000, "the launch has ended")


async def test_a_log_that_is_none_is_not_shown(
    serial: Serial, tmp_path: Path, start_websocket: StartWebsocket
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of the host")
    (tmp_path / "vms" / "iris" / "launch-1" / CONSOLE_LOG).symlink_to(secret)
    async with viewer(await start_websocket(BOUNDS)) as connection:
        code, why = await closed(connection)
    assert (code, str(why).startswith("the console's log cannot be read")) == (1011, True)


async def test_text_is_not_taken(serial: Serial, start_websocket: StartWebsocket) -> None:
    async with viewer(await start_websocket(BOUNDS)) as connection:
        await connection.send_message("ls\n")
        assert await closed(connection) == (1003, "a console takes binary messages")


async def test_a_message_that_is_too_long_is_not_taken(
    serial: Serial, start_websocket: StartWebsocket
) -> None:
    async with viewer(await start_websocket(BOUNDS)) as connection:
        await connection.send_message(bytes(4097))
        assert (await closed(connection))[0] == 1009


async def test_so_many_look_at_once_and_no_more(
    serial: Serial, start_websocket: StartWebsocket, nursery: trio.Nursery
) -> None:
    address = await start_websocket(BOUNDS)

    async def look(*, task_status: trio.TaskStatus[None]) -> None:
        async with viewer(address):
            task_status.started()
            await trio.sleep_forever()

    for _ in range(VIEWERS):
        await nursery.start(look)
    rejected = await rejection(address, PATH)
    assert rejected.status == 429
    nursery.cancel_scope.cancel()


async def test_when_the_daemon_leaves_its_viewers_are_told(
    serial: Serial, start_websocket: StartWebsocket, leaving: trio.Event
) -> None:
    async with viewer(await start_websocket(BOUNDS)) as connection:
        leaving.set()
        assert await closed(connection) == (1001, "the daemon is leaving")


async def test_who_reads_nothing_is_told_nothing_in_the_middle_of_a_message(
    serial: Serial, start_websocket: StartWebsocket, leaving: trio.Event
) -> None:
    serial.say(bytes(8 * MIB))
    async with stalled(await start_websocket(BOUNDS), PATH) as stream:
        await trio.testing.wait_all_tasks_blocked(0.3)  # the server waits for this viewer alone
        leaving.set()
        came = b"".join([data async for data in stream])
    assert len(came) < 8 * MIB
    assert b"leaving" not in came


@pytest.mark.parametrize(
    ("target", "status", "parameter"),
    [
        ("/v1/console/nobody", 404, "path"),
        ("/v1/console/Iris!", 400, "vm_id"),
        ("/v1/console/", 400, "vm_id"),
        ("/v1/console/iris/1", 400, "vm_id"),
        (f"{PATH}?launch=2", 400, "launch"),
        (f"{PATH}?launch=0", 400, "launch"),
        (f"{PATH}?launch=1&launch=1", 400, "query"),
        (f"{PATH}?follow=true", 400, "follow"),
        ("/v1/consoles/iris", 404, "path"),
    ],
)
async def test_what_is_wrong_is_told_before_the_upgrade(
    serial: Serial, start_websocket: StartWebsocket, target: str, status: int, parameter: str
) -> None:
    rejected = await rejection(await start_websocket(BOUNDS), target)
    answer = msgspec.json.decode(rejected.body)
    assert (rejected.status, answer["parameter"]) == (status, parameter), answer


async def test_a_vm_that_was_not_launched_has_no_console_yet(
    vm: VmRef, start_websocket: StartWebsocket
) -> None:
    vm.state = defined()
    assert vm.state.phase is Phase.DEFINED
    rejected = await rejection(await start_websocket(BOUNDS), PATH)
    assert (rejected.status, b"has no console yet" in rejected.body) == (400, True)


async def test_nobody_looks_without_the_token(
    serial: Serial, start_websocket: StartWebsocket
) -> None:
    rejected = await rejection(await start_websocket(BOUNDS), PATH, headers={})
    assert rejected.status == 401
