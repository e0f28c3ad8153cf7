"""WebSocket frames, read with as little work as can be (RFC 6455, sections 4.1 and 5.2)."""

import struct

from api_bench.words import TOKEN

TEXT = 0x81
"""A whole text message in one frame."""
MASKED = 0x80
_EXTENDED = {126: struct.Struct(">H"), 127: struct.Struct(">Q")}


class Frames:
    """Counts the text messages of one connection."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> int:
        """Return how many text messages end in ``data``, which goes on where the last ended."""
        data = self._rest + data
        found = at = 0
        while (end := _end(data, at)) is not None and end <= len(data):
            found += data[at] == TEXT
            at = end
        self._rest = data[at:]
        return found


def _end(data: bytes, at: int) -> int | None:
    start = at + 2
    if len(data) < start:
        return None
    size = data[at + 1]
    if (extended := _EXTENDED.get(size)) is not None:
        if len(data) < start + extended.size:
            return None
        (size,) = extended.unpack_from(data, start)
        start += extended.size
    return int(start + size)


def text_frame(payload: bytes) -> bytes:
    """Return a client's frame of one text message under 64 KiB; its mask changes nothing."""
    return struct.pack(">BBH4x", TEXT, MASKED | 126, len(payload)) + payload


def upgrade(port: int, path: str) -> bytes:
    """Return the request that begins a connection; its key is 16 bytes of no meaning."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {'A' * 22}==\r\n"
        f"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()
