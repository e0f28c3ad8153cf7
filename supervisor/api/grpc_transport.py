"""The transport of one gRPC connection, with bounds that asyncio's own does not have.

grpclib writes answers to pings and settings without asking whether anybody takes them, and closes a
connection only once all of it was taken. A client that reads nothing would keep both for good.
"""

import time
from collections.abc import Callable
from typing import Any

OUTGOING_BYTES = 16 * 1024 * 1024
"""What may wait for a client: a piece of a download for each of 100 streams, twice over."""
AT_ONCE_BYTES = 64 * 1024
"""What is collected in one turn of the loop, to be sent by one call of the system; more is sent
before, so that whoever writes a lot is told when the client takes no more."""
CLOSE_S = 5.0
"""What a client gets to take the rest, once its connection is to be closed."""
READ_BYTES = 32 * 1024
"""Taken from a client at once; what it asks for keeps everybody else waiting meanwhile."""
IDLE_FRAMES = 1000
"""Frames that bring nothing, such as pings, in a row: connections begin and downloads end so."""
IDLE_FRAMES_PER_S = 100.0
"""As many go on for good. Clients that measure a connection's delay send some ten."""

RESET_FRAMES = 5
"""As many of them is one call that is taken back: it was begun, which is work. A client may still
take back all the calls that it may have open, twice."""


class BoundedTransport:
    """An asyncio transport, as grpclib uses it.

    grpclib writes the parts of an answer one by one. What all calls write in one turn of the loop
    is sent together.
    """

    def __init__(
        self,
        inner: Any,
        call_soon: Callable[..., object],
        call_later: Callable[..., object],
        close_s: float = CLOSE_S,
    ) -> None:
        self._inner = inner
        self._call_soon = call_soon
        self._call_later = call_later
        self._unsent = bytearray()
        self._close_s = close_s
        inner.max_size = READ_BYTES
        self.get_extra_info = inner.get_extra_info
        self.is_closing = inner.is_closing
        self.abort = inner.abort

    def write(self, data: bytes) -> None:
        """Send ``data`` as soon as the client takes it; hang up on one that takes nothing."""
        if self._inner.is_closing():
            return  # asyncio would log every single attempt
        if not self._unsent:
            self._call_soon(self.flush)
        self._unsent += data
        if len(self._unsent) >= AT_ONCE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was written so far."""
        data, self._unsent = self._unsent, bytearray()
        if self._inner.is_closing() or not data:
            return
        self._inner.write(data)
        if self._inner.get_write_buffer_size() > OUTGOING_BYTES:
            self._inner.abort()

    def close(self) -> None:
        """Close the connection: at the latest a few seconds from now."""
        self.flush()
        if not self._inner.is_closing():
            self._inner.close()
            self._call_later(self._close_s, self._inner.abort)


class IdleFrames:
    """How many more frames that bring nothing a client may send: some in a row, few for good."""

    def __init__(self) -> None:
        self._left = float(IDLE_FRAMES)
        self._counted_at = time.monotonic()

    def are_too_many(self, frames: int) -> bool:
        """Count some more."""
        now = time.monotonic()
        more = (now - self._counted_at) * IDLE_FRAMES_PER_S
        self._left = min(self._left + more, float(IDLE_FRAMES)) - frames
        self._counted_at = now
        return self._left < 0
