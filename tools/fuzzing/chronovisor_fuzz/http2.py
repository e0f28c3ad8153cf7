"""HTTP/2 for a client that may say anything: frames go out as they are, right or wrong."""

import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import hpack
import msgspec
import trio
from grpclib.const import Status
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from chronovisor_fuzz.target import Found, Target, connected

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9
WINDOW = 2**31 - 1
BODY_MOST = 512 * 1024
"""Of one answer; a stream that sends more is one that works."""
FORBIDDEN = frozenset({Status.UNKNOWN, Status.INTERNAL})
"""Statuses that no client may be able to cause."""


class Answer(msgspec.Struct, frozen=True):
    """How a call ended: a gRPC status and its message; None where the stream was reset."""

    status: Status | None
    message: str

    def __str__(self) -> str:
        return self.message if self.status is None else self.status.name


class HungUp(Exception):
    """The server closed the connection."""


def grpc_headers(target: Target, path: str, **more: str) -> list[tuple[str, str]]:
    """Return the headers of a proper call."""
    proper = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "authorization": f"Bearer {target.token}",
    }
    return [*proper.items(), *more.items()]


def prefixed(body: bytes) -> bytes:
    """Return one gRPC message with its length."""
    return struct.pack(">BI", 0, len(body)) + body


class Http2:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._decoder.max_allowed_table_size = 1 << 16
        self._received = bytearray()
        self._fields: Iterable[Any] = ()
        self._next = 1

    async def begin(self, window: int = WINDOW) -> None:
        """Say hello, and that the server may send as much as it likes, or how much."""
        settings = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: window})
        more = WindowUpdateFrame(0, WINDOW - 65_535).serialize()
        await self.stream.send_all(PREFACE + settings.serialize() + more)

    def next_stream(self) -> int:
        """Return a stream that was not used."""
        self._next += 2
        return self._next - 2

    def headers(
        self, number: int, fields: Sequence[tuple[str, str]], *, end: bool = False
    ) -> bytes:
        """Return a request's headers as they go over the wire."""
        frame = HeadersFrame(number, self.encoder.encode(fields))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    async def call(
        self, fields: Sequence[tuple[str, str]], *bodies: bytes, end: bool = True
    ) -> int:
        """Send a request; return its stream."""
        number = self.next_stream()
        sent = bytearray(self.headers(number, fields, end=end and not bodies))
        for index, body in enumerate(bodies):
            for start in range(0, len(body), 16_384):
                sent += DataFrame(number, body[start : start + 16_384]).serialize()
            if end and index == len(bodies) - 1:
                sent += DataFrame(number, b"", flags=["END_STREAM"]).serialize()
        await self.stream.send_all(sent)
        return number

    async def answer(self, number: int) -> Answer | None:
        """Return how a call ended; None if it goes on sending. Raises HungUp, Found."""
        received = 0
        while received < BODY_MOST:
            frame = await self.frame()
            if isinstance(frame, GoAwayFrame):
                raise HungUp
            if frame.stream_id != number:
                continue
            if isinstance(frame, RstStreamFrame):
                return Answer(None, f"reset {frame.error_code}")
            if isinstance(frame, DataFrame):
                received += len(frame.data)
            if isinstance(frame, HeadersFrame) and (ended := self._trailers()):
                return ended
        return None

    async def frame(self) -> Frame:
        """Return the next frame; pings and settings are answered. Raises HungUp."""
        frame = await self._read_frame()
        if isinstance(frame, HeadersFrame):
            self._fields = self._decoder.decode(frame.data)  # in any case: it has a state
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            await self.stream.send_all(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            ack = PingFrame(0, frame.opaque_data, flags=["ACK"])
            await self.stream.send_all(ack.serialize())
        return frame

    async def _read_frame(self) -> Frame:
        head = await self._exactly(HEADER_BYTES)
        frame, size = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(await self._exactly(size)))
        return frame

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            piece = await self.stream.receive_some()
            if not piece:
                raise HungUp
            self._received += piece
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _trailers(self) -> Answer | None:
        found = {str(name): str(value) for name, value in self._fields}
        if "grpc-status" not in found:
            return None
        message = unquote(found.get("grpc-message", ""))
        try:
            status = Status(int(found["grpc-status"]))
        except ValueError:
            raise Found(f"no status of gRPC: {found['grpc-status']!r}") from None
        if status in FORBIDDEN:
            raise Found(f"status {status.name}: {message}")
        return Answer(status, message)


@asynccontextmanager
async def http2(target: Target, window: int = WINDOW) -> AsyncIterator[Http2]:
    """Connect to the gRPC listener, say hello, and hang up without a word at the end."""
    async with connected(target.grpc) as stream:
        client = Http2(stream)
        await client.begin(window)
        yield client
