"""What every WebSocket of the daemon has in common: its bounds, its pings and its end."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

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


async def keep_alive(connection: WebSocketConnection, bounds: Bounds) -> None:
    """Ping until the client does not answer, or sends pieces without end: it need not be told."""
    while True:
        await trio.sleep(bounds.ping_s)
        with trio.move_on_after(bounds.pong_s) as patience:
            await connection.ping()
        # trio-websocket bounds what the pieces of a message hold, but not how many hold nothing.
        if patience.cancelled_caught or len(connection._message_parts) > PIECES:
            return


async def say_goodbye(connection: WebSocketConnection, end: Close, bounds: Bounds) -> None:
    """Close, and give the client a moment to agree, also while the daemon is leaving."""
    with trio.move_on_after(bounds.close_s, shield=True):
        await connection.aclose(end.code, end.reason[:REASON_BYTES])


async def first(*tasks: Callable[[], Awaitable[Close | None]]) -> Close | None:
    """Run the tasks until one returns or the client is gone; return what it says."""
    ends: list[Close | None] = []

    async def run(task: Callable[[], Awaitable[Close | None]]) -> None:
        with suppress(ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            ends.append(await task())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(run, task)
    return ends[0] if ends else None
