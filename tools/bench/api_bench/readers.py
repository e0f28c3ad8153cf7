"""WebSocket subscribers: one process, blocking sockets, and no library that would share the work.

Each has had its first message, which says that it will miss nothing, before anything is measured.
"""

import selectors
import socket
import time
from contextlib import suppress

import msgspec

from api_bench.child import serve
from api_bench.frames import Frames, text_frame, upgrade
from api_bench.words import ECHO_PATH, EVENTS_PATH, Connect, Readings, RoundTrips, Take, Took

HOST = "127.0.0.1"
RECEIVE_BYTES = 64 * 1024
STALLED_BYTES = 4096
"""What the kernel keeps for a reader that does not read: little, so that it is soon full."""
ECHO_BYTES = 600
"""As an event has."""
_BUFFER = memoryview(bytearray(RECEIVE_BYTES))
_END_OF_HEADERS = b"\r\n\r\n"


class Reader:
    """One subscriber."""

    def __init__(self, port: int, path: str = EVENTS_PATH, buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.connect((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(upgrade(port, path))
        self.times: list[float] = []
        self._frames = Frames()
        self._greet()

    def _greet(self) -> None:
        answer = b""
        while _END_OF_HEADERS not in answer:
            answer += self._received()
        head, _, rest = answer.partition(_END_OF_HEADERS)
        if b" 101 " not in head:
            raise ConnectionError(head.decode(errors="replace"))
        self._count(rest)
        while not self.times:
            self.receive()

    def receive(self) -> None:
        """Take what is there, and note when."""
        self._count(self._received())

    def _received(self) -> bytes:
        size = self.socket.recv_into(_BUFFER)
        if not size:
            raise EOFError("a subscriber was hung up on")
        return bytes(_BUFFER[:size])

    def _count(self, data: bytes) -> None:
        if found := self._frames.feed(data):
            self.times += [time.monotonic()] * found


class Readers:
    """All subscribers of one server."""

    def __init__(self) -> None:
        self._readers: list[Reader] = []
        self._stalled: list[Reader] = []

    def answer(self, word: Readings) -> msgspec.Struct:
        """Do what is asked."""
        match word:
            case Connect(port, readers, stalled):
                self._readers = [Reader(port) for _ in range(readers)]
                self._stalled = [Reader(port, buffer_bytes=STALLED_BYTES) for _ in range(stalled)]
                return Took([])
            case Take(count):
                return Took(self._take(count))
            case RoundTrips(port, count):
                return Took([round_trips(port, count)])

    def _take(self, count: int) -> list[list[float]]:
        for reader in self._readers:
            reader.times.clear()
        with selectors.DefaultSelector() as selector:
            for reader in self._readers:
                selector.register(reader.socket, selectors.EVENT_READ, reader)
            while selector.get_map():
                for key, _ in selector.select():
                    key.data.receive()
                    if len(key.data.times) >= count:
                        selector.unregister(key.fileobj)
        return [reader.times for reader in self._readers]


def round_trips(port: int, count: int) -> list[float]:
    """Return how long a frame takes there and back."""
    reader, frame, found = Reader(port, ECHO_PATH), text_frame(b"x" * ECHO_BYTES), []
    for _ in range(count):
        reader.times.clear()
        begun = time.monotonic()
        reader.socket.sendall(frame)
        while not reader.times:
            reader.receive()
        found.append(reader.times[0] - begun)
    return found


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve(Readings, Readers().answer)
