"""A guest's serial console over WebSocket: binary messages both ways, from its first byte on.

``/v1/console/VM_ID?launch=N``. Every viewer reads at a pace of its own, and what any of them types
goes to the guest. The end of the launch is the end of the connection.
"""

import re
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import msgspec
from trio_websocket import WebSocketConnection

from supervisor.api.close_codes import CloseCode
from supervisor.api.ports import Viewer
from supervisor.api.refusals import denied_for, refuse
from supervisor.api.websocket_peer import Bounds, Close, Peer
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
        self._peer = Peer(connection, bounds)

    async def converse(self) -> None:
        """Show and type until one side has enough, then close."""
        await self._peer.converse(self._show, self._type)

    async def _show(self) -> Close:
        try:
            return await self._show_all()
        except OSError as error:
            why = error.strerror or "it is not ours"
            return Close(CloseCode.LOG_ENDED, f"the console's log cannot be read: {why}")

    async def _show_all(self) -> Close:
        while data := await self._viewer.receive():
            if await self._peer.is_too_slow_for(partial(self._connection.send_message, data)):
                return Close(CloseCode.TOO_SLOW, "too slow")
        return Close(CloseCode.DONE, "the launch has ended")

    async def _type(self) -> Close:
        while isinstance(message := await self._connection.get_message(), bytes):
            try:
                await self._viewer.send(message)
            except InputNotTaken:
                return Close(CloseCode.TOO_SLOW, "the guest does not take what is typed")
        return Close(CloseCode.UNWANTED_MESSAGE, "a console takes binary messages")
