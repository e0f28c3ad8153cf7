"""A guest's serial console over WebSocket: binary messages both ways, from its first byte on.

``/v1/console/VM_ID?launch=N``. Every viewer reads at a pace of its own, and what any of them types
goes to the guest. The end of the launch is the end of the connection.
"""

import re
from urllib.parse import parse_qsl, urlsplit

import msgspec
import trio
from trio_websocket import WebSocketConnection

from supervisor.api.close_codes import CloseCode
from supervisor.api.ports import Viewer
from supervisor.api.refusals import denied_for, refuse
from supervisor.api.websocket_peer import Bounds, Close, first, keep_alive, say_goodbye
from supervisor.host.console import InputNotTaken
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.rules import check_vm_id

CONSOLE_PATH = "/v1/console/"
_LAUNCH = re.compile(r"[1-9][0-9]{0,8}")


class Wanted(msgspec.Struct, frozen=True):
    """Whose console, and of which launch; the current one where none is named."""

    vm_id: str
    launch: int | None


def parse(target: str) -> Wanted:
    """Return what a request target asks for. Raises CommandDenied that names the parameter."""
    parts = urlsplit(target)
    vm_id = parts.path.removeprefix(CONSOLE_PATH)
    refuse(check_vm_id(vm_id))
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=1)
    except ValueError:
        raise _garbage("query", "is not one that can be read; it takes launch=N") from None
    launch = None
    for name, value in pairs:
        if name != "launch":
            raise _garbage(name[:64], "is not a parameter here; it takes launch=N")
        if not _LAUNCH.fullmatch(value):
            raise _garbage("launch", f"got {value[:64]!r}; it takes a number from 1 on")
        launch = int(value)
    return Wanted(vm_id, launch)


def _garbage(parameter: str, what: str) -> CommandDenied:
    return denied_for(DenyReason.INVALID_ARGUMENT, parameter, what)


class ConsoleClient:
    """One viewer after the upgrade."""

    def __init__(self, connection: WebSocketConnection, viewer: Viewer, bounds: Bounds) -> None:
        self._connection = connection
        self._viewer = viewer
        self._bounds = bounds

    async def converse(self) -> None:
        """Show and type until one side has enough, then close."""
        try:
            end = await first(self._show, self._type, self._keep_alive)
        except* trio.Cancelled:
            leaving = Close(CloseCode.LEAVING, "the daemon is leaving")
            await say_goodbye(self._connection, leaving, self._bounds)
            raise
        if end is not None:
            await say_goodbye(self._connection, end, self._bounds)

    async def _show(self) -> Close | None:
        try:
            return await self._show_all()
        except OSError as error:
            why = error.strerror or "it is not ours"
            return Close(CloseCode.LOG_ENDED, f"the console's log cannot be read: {why}")

    async def _show_all(self) -> Close | None:
        while data := await self._viewer.receive():
            begun = trio.current_time()
            with trio.move_on_after(self._bounds.send_s + self._bounds.recover_s) as patience:
                await self._connection.send_message(data)
            if patience.cancelled_caught:
                return None  # half a frame is on its way, after which no other can be sent
            if trio.current_time() - begun > self._bounds.send_s:
                return Close(CloseCode.TOO_SLOW, "too slow")
        return Close(CloseCode.DONE, "the launch has ended")

    async def _type(self) -> Close | None:
        while isinstance(message := await self._connection.get_message(), bytes):
            try:
                await self._viewer.send(message)
            except InputNotTaken:
                return Close(CloseCode.TOO_SLOW, "the guest does not take what is typed")
        return Close(CloseCode.UNWANTED_MESSAGE, "a console takes binary messages")

    async def _keep_alive(self) -> Close | None:
        await keep_alive(self._connection, self._bounds)
        return None
