"""A gRPC client that says exactly what a test wants it to, also what no library would send."""

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import trio
from grpclib.const import Status

from supervisor.config import Address

Headers = list[tuple[str, str]]
SERVICE = "/chronovisor.v1.Supervisor"


def headers(method: str = "GetVm", *more: tuple[str, str], without: str = "") -> Headers:
    """Return the headers of a proper request, changed as told: later ones replace earlier ones."""
    proper = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"{SERVICE}/{method}",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    chosen = proper | dict(more)
    chosen.pop(without, None)
    return list(chosen.items())


def frame(body: bytes, *, compressed: int = 0, size: int | None = None) -> bytes:
    """Return a length-prefixed message, with another length than its own if told."""
    return struct.pack(">BI", compressed, len(body) if size is None else size) + body


class RawClient:
    """One HTTP/2 connection; streams are read until they end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                header_encoding="ascii",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )

    async def begin(self) -> None:
        """Say hello."""
        self.h2.initiate_connection()
        await self.flush()

    async def call(
        self, request: Sequence[tuple[str, str]], *bodies: bytes, end: bool = True
    ) -> int:
        """Send a request; return its stream."""
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, request, end_stream=end and not bodies)
        for index, body in enumerate(bodies):
            self.h2.send_data(number, body, end_stream=end and index == len(bodies) - 1)
        await self.flush()
        return number

    async def flush(self) -> None:
        """Send what the protocol has ready."""
        await self.stream.send_all(self.h2.data_to_send())

    async def status(self, number: int) -> tuple[Status, str]:
        """Read until the stream's trailers; return the status and its message."""
        found = await self.trailers(number)
        return Status(int(found["grpc-status"])), unquote(found.get("grpc-message", ""))

    async def trailers(self, number: int) -> dict[str, str]:
        """Read until the stream's trailers; return them."""
        while True:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:  # a reset says the same as an end
                data = b""
            if not data:
                raise AssertionError("the server hung up before it gave a status")
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id or 0
                    )
                if not isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    continue
                found = {str(name): str(value) for name, value in event.headers or ()}
                if event.stream_id == number and "grpc-status" in found:
                    return found
            await self.flush()


@asynccontextmanager
async def raw_client(where: Path | Address) -> AsyncIterator[RawClient]:
    """Connect; hang up without a word at the end."""
    stream = (
        await trio.open_tcp_stream(where.host, where.port)
        if isinstance(where, Address)
        else trio.SocketStream(await _unix(where))
    )
    async with stream:
        client = RawClient(stream)
        await client.begin()
        yield client


async def until_hung_up(stream: trio.abc.ReceiveStream) -> None:
    """Read until the server has enough of its client."""
    with suppress(trio.BrokenResourceError):  # a reset says the same as an end
        while await stream.receive_some():
            pass


async def _unix(path: Path) -> trio.socket.SocketType:
    connection = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await connection.connect(str(path))
    return connection
