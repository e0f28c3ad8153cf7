"""What every WebSocket of the daemon has in common: its bounds, its pings and its end.

A client whose connection does not take a message in time is told so once it has; in the middle of a
message nothing else can be said, and it is hung up on.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from supervisor.api.close_codes import CloseCode

PIECES = 1024
"""Of a message that has not ended: browsers send a long one in a few, and clients say little."""
REASON_BYTES = 123
"""What fits a close frame beside its code (RFC 6455, section 5.5)."""


class Bounds(msgspec.Struct, frozen=True):
    """What one listener and its clients get; times are in seconds."""

    clients: int = 256
    """At once. Each costs a task, a socket and at most one write in memory."""
    refusals: int = 32
    """Connections beyond that which are still told why they are refused; the rest is hung up on."""
    handshake_s: float = 10.0
    """From the connection to the end of the upgrade, which is one round trip on this host."""
    send_s: float = 10.0
    """A client that has not taken a write by then is too slow."""
    recover_s: float = 20.0
    """What a slow client then gets to take it after all, and be told so."""
    ping_s: float = 20.0
    """Between pings, which keep middleboxes awake and find connections that are dead."""
    pong_s: float = 40.0
    """For the answer; longer than a slow client gets, so that it is told before it is cut off."""
    close_s: float = 5.0
    """For the closing handshake."""


BOUNDS = Bounds()


class Close(msgspec.Struct, frozen=True):
    """How a conversation ends, if the client is to be told."""

    code: CloseCode
    reason: str


Task = Callable[[], Awaitable[Close | None]]
"""A part of a conversation: it returns how that ends, or None where nobody is to be told."""


class Wire(Enum):
    """Whether a message is on its way: in the middle of one, no other can be sent."""

    BETWEEN_MESSAGES = "between messages"
    WITHIN_MESSAGE = "within a message"


class Peer:
    """A client after the upgrade."""

    def __init__(self, connection: WebSocketConnection, bounds: Bounds) -> None:
        self._connection = connection
        self._bounds = bounds
        self._wire = Wire.BETWEEN_MESSAGES

    async def converse(
        self, *tasks: Task, close: Callable[[CloseCode, str], Close] = Close
    ) -> None:
        """Run the tasks until one side has enough, then close; ``close`` words the daemon's end."""
        try:
            end = await _first(*tasks, self._keep_alive)
        except* trio.Cancelled:
            await self._say_goodbye(close(CloseCode.LEAVING, "the daemon is leaving"))
            raise
        if end is not None:
            await self._say_goodbye(end)

    async def is_too_slow_for(self, send: Callable[[], Awaitable[None]]) -> bool:
        """Send whole messages; return whether that took longer than a client may."""
        begun = trio.current_time()
        self._wire = Wire.WITHIN_MESSAGE
        with trio.move_on_after(self._bounds.send_s + self._bounds.recover_s) as patience:
            await send()
            self._wire = Wire.BETWEEN_MESSAGES
        return patience.cancelled_caught or trio.current_time() - begun > self._bounds.send_s

    async def _keep_alive(self) -> None:
        """Ping until the client does not answer, or sends pieces without end: it is not told."""
        while True:
            await trio.sleep(self._bounds.ping_s)
            with trio.move_on_after(self._bounds.pong_s) as patience:
                await self._connection.ping()
            # trio-websocket bounds what the pieces of a message hold, but not how many hold none.
            if patience.cancelled_caught or len(self._connection._message_parts) > PIECES:
                return

    async def _say_goodbye(self, end: Close) -> None:
        """Close, and give the client a moment to agree, also while the daemon is leaving."""
        if self._wire is Wire.WITHIN_MESSAGE:
            return
        with trio.move_on_after(self._bounds.close_s, shield=True):
            await self._connection.aclose(end.code, end.reason[:REASON_BYTES])


async def _first(*tasks: Task) -> Close | None:
    """Run the tasks until one returns or the client is gone; return what it says."""
    ends: list[Close | None] = []

    async def run(task: Task) -> None:
        with suppress(ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            ends.append(await task())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(run, task)
    return ends[0] if ends else None
