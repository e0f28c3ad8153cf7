"""The serial console of one launch, both ways.

What a viewer sees comes from the log, to which QEMU writes every byte whoever is connected. QEMU's
socket takes what viewers type. It serves one client at a time, so one connection serves all
viewers, and only while there are any; what comes out of it is read at once and dropped, because a
client that does not read stalls the guest. That something came only says that the log has more.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from supervisor.host.growing_log import GrowingLog, ReadFrom
from supervisor.host.sockets import connect
from supervisor.vm import layout

RECEIVE_BYTES = 64 * 1024
RECONNECT_S = 0.2
"""QEMU is about to start, or about to leave, or serves another client."""
LOOK_S = 0.2
"""How late a viewer may see what the socket did not tell of."""
SETTLE_S = 0.005
"""QEMU writes to the socket first and to the log then; who types does not notice."""
TAKE_S = 10.0
"""What the guest gets to take what was typed; it holds some hundred KiB that nobody has read."""


class InputNotTaken(Exception):
    """The guest did not take what was typed."""


class Console:
    """The console of one launch, for as long as somebody looks.

    ``is_over`` tells whether the launch has ended, which is asked now and then.
    """

    def __init__(self, directory: Path, is_over: Callable[[], bool]) -> None:
        self._directory = directory
        self._is_over = is_over
        self._typing = trio.Lock()
        self._stream: trio.SocketStream | None = None
        self._connected = trio.Event()
        self._more = trio.Event()

    async def serve(self) -> None:
        """Hold the connection to QEMU until the launch is over."""
        while not self._is_over():
            with suppress(OSError, trio.BrokenResourceError):
                await self._converse()
            await trio.sleep(RECONNECT_S)

    async def _converse(self) -> None:
        async with await connect(self._directory, layout.CONSOLE_SOCKET) as stream:
            self._stream = stream
            self._connected.set()
            try:
                while await stream.receive_some(RECEIVE_BYTES):
                    self._more.set()
                    self._more = trio.Event()
            finally:
                self._stream, self._connected = None, trio.Event()

    def viewer(self) -> "Viewer":
        """Return a viewer, who sees the log from its beginning."""
        log = self._directory / layout.CONSOLE_LOG
        return Viewer(self, GrowingLog(log, ReadFrom.BEGINNING))

    async def follow(self, log: GrowingLog) -> bytes:
        """Return what comes next in the log; nothing once the launch is over and all was read.

        Raises OSError.
        """
        while True:
            final, more = self._is_over(), self._more
            if data := await trio.to_thread.run_sync(log.read):
                return data
            if final:
                return b""
            with trio.move_on_after(LOOK_S):
                await more.wait()
                await trio.sleep(SETTLE_S)

    async def type(self, data: bytes) -> None:
        """Type on the guest's console. Raises InputNotTaken."""
        with trio.move_on_after(TAKE_S) as patience:
            async with self._typing:
                while (stream := self._stream) is None:
                    await self._connected.wait()
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await stream.send_all(data)
        if patience.cancelled_caught and not self._is_over():
            raise InputNotTaken


class Viewer:
    """One who looks at a console, at a pace of its own, and may type."""

    def __init__(self, console: Console, log: GrowingLog) -> None:
        self._console = console
        self._log = log

    async def receive(self) -> bytes:
        """Return what comes next; nothing once the launch is over. Raises OSError."""
        return await self._console.follow(self._log)

    async def send(self, data: bytes) -> None:
        """Type. Raises InputNotTaken."""
        await self._console.type(data)
