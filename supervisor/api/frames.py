"""WebSocket messages that are made once and sent to many.

trio-websocket frames each message for each connection anew, and gives the loop a turn two times for
each. Subscribers all get the same messages, so those are framed beforehand and written to the
stream in one go, past the library, which still says everything else: handshake, pings, closing.
"""

import os
import struct

import trio

TEXT = 0x81
"""A whole text message in one frame, from a server and therefore not masked (RFC 6455, 5.2)."""
SHORT, LONG = 126, 127
"""What stands in place of a length that follows in 16 and in 64 bits."""


def text_frame(payload: bytes) -> bytes:
    """Return one text message, of UTF-8, as it goes over the wire."""
    size = len(payload)
    if size < SHORT:
        return struct.pack(">BB", TEXT, size) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", TEXT, SHORT, size) + payload
    return struct.pack(">BBQ", TEXT, LONG, size) + payload


class SharedStream(trio.abc.Stream):
    """A connection that two write to: the library its words, and we our frames.

    Neither begins before the other has ended.
    """

    def __init__(self, stream: "trio.SocketStream | trio.SSLStream[trio.SocketStream]") -> None:
        self._stream = stream
        self._sending = trio.Lock()

    def send_now(self, data: bytes) -> bytes:
        """Send what the kernel takes at once, without a turn of the loop; return the rest.

        The rest of a frame must follow by :meth:`send_all`, at once. Raises BrokenResourceError.
        """
        if self._sending.locked() or isinstance(self._stream, trio.SSLStream):
            return data  # TLS has a word of its own to say before
        try:
            sent = os.write(self._stream.socket.fileno(), data)
        except BlockingIOError:
            return data
        except OSError as error:
            raise trio.BrokenResourceError from error
        return data[sent:]

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it. Raises BrokenResourceError or ClosedResourceError."""
        async with self._sending:
            await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel takes something."""
        async with self._sending:
            await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return what came; nothing at the end."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Hang up."""
        await self._stream.aclose()
