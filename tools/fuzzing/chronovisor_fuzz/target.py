"""What is attacked: where it listens, and the names that mean something to it."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

CONNECT_S = 30.0
"""On loopback a connection is made at once, unless the daemon accepts none."""


class Place(msgspec.Struct, frozen=True):
    """A TCP listener."""

    host: str
    port: int


class Target(msgspec.Struct, frozen=True):
    """One daemon; ``vm_ids`` may exist at any moment, ``sha256`` is an artifact that does.

    The IDs change as VMs are deleted, since a daemon takes none twice.
    """

    state_dir: Path
    unix: Path
    grpc: Place
    http: Place
    websocket: Place
    log_id: str
    token: str
    sha256: str
    vm_ids: list[str]


Attack = Callable[[Target, random.Random], Awaitable[str]]
"""Does one thing to a target; returns in a few words what came of it. Raises Found."""


class Found(Exception):
    """Something that must not be; the message says what."""


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[trio.SocketStream]:
    """Connect; hang up without a word at the end. Raises Found if nobody accepts."""
    try:
        with trio.fail_after(CONNECT_S):
            stream = await trio.open_tcp_stream(place.host, place.port)
    except (OSError, trio.TooSlowError) as error:
        raise Found(f"no connection to {place.host}:{place.port}: {error!r}") from None
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def read_on(stream: trio.SocketStream, seconds: float, most: int) -> bytes:
    """Return what comes within a while, up to ``most`` bytes or until it hangs up."""
    received = bytearray()
    with trio.move_on_after(seconds):
        while len(received) < most:
            piece = await stream.receive_some()
            if not piece:
                break
            received += piece
    return bytes(received)
