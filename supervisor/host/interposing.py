"""The seam at the streams to QEMU: whoever records, or lets faults in, stands between."""

from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import trio

Bytes = bytes | bytearray | memoryview


class Channel(Enum):
    """What is spoken on a stream."""

    QMP = "qmp"
    AGENT = "agent"


Interpose = Callable[[Channel, Path, trio.abc.Stream], trio.abc.Stream]
"""Takes a stream that was just opened to the launch in this directory; returns what is used in its
place. Whoever opened the stream closes it."""


def direct(channel: Channel, directory: Path, stream: trio.abc.Stream) -> trio.abc.Stream:
    """Let nobody stand between."""
    return stream


class PassingStream(trio.abc.Stream):
    """Passes everything on: whoever stands between overrides a part."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self._inner = inner

    async def send_all(self, data: Bytes) -> None:
        """Pass on what we say."""
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Pass on what is said to us."""
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()


class Lines:
    """Pieces of a stream -> the lines that they complete, of which only so much is kept."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.rest = b""
        """The beginning of a line that has not ended."""

    def take(self, data: Bytes) -> Iterator[bytes]:
        """Yield what ``data`` completes; a longer line comes without its end."""
        *lines, rest = bytes(data).split(b"\n")
        for line in lines:
            whole, self.rest = self.rest + line, b""
            yield whole[: self._limit_bytes]
        self.rest = (self.rest + rest)[: self._limit_bytes]
