"""One gRPC call with bounds, in place of grpclib's own stream.

What grpclib leaves unbounded has its bound here: the size of a message and the silence of a client.
"""

import struct
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from supervisor.api.asyncio_patience import at_most
from supervisor.api.grpc_messages import decode
from supervisor.api.uploads import CHUNK_BYTES


class CallBounds(msgspec.Struct, frozen=True):
    """What one connection and its calls may take of the daemon; times are in seconds."""

    message_bytes: int = CHUNK_BYTES + 64 * 1024
    """The largest message is a chunk of an upload; its other fields are small."""
    first_request_s: float = 10.0
    """From a connection to its first request that is admitted, which is one round trip on this
    host. Without it, silent strangers could hold every place there is."""
    silence_s: float = 60.0
    """A client that sends nothing of a message it owes, or takes nothing, so long is not there."""
    keepalive_s: float = 30.0
    """A connection is asked so often whether it lives, and hung up if it does not answer as long:
    a host that lost its power says no goodbye."""


BOUNDS = CallBounds()


class Call:
    """One call with bounds: what handlers use in place of grpclib's own stream."""

    def __init__(self, stream: "Stream[Any, Any]", receives: type[Any], bounds: CallBounds) -> None:
        self._stream = stream
        self._receives = receives
        self._bounds = bounds
        self.send_trailing_metadata = stream.send_trailing_metadata

    async def recv_message(self) -> Any | None:
        """Return the client's next message; None once it has sent its last. Raises GRPCError."""
        try:
            return await at_most(self._bounds.silence_s, self._receive())
        except TimeoutError:
            silence = f"no message came for {self._bounds.silence_s:.0f} s"
            raise GRPCError(Status.DEADLINE_EXCEEDED, silence) from None
        except AssertionError:
            raise GRPCError(Status.INVALID_ARGUMENT, "the last message is cut short") from None

    async def _receive(self) -> Any | None:
        # grpclib would take 4 GiB into memory, and answer UNKNOWN to a message that is broken.
        data = self._stream._stream.recv_data
        prefix = await data(5)
        if not prefix:
            return None
        compressed, size = struct.unpack(">BI", prefix)
        self._check_frame(compressed, size)
        body = await data(size)
        if len(body) != size:
            raise GRPCError(Status.INVALID_ARGUMENT, "the last message is cut short")
        return self._decode(body)

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        while (message := await self.recv_message()) is not None:
            yield message

    async def send_message(self, message: Any) -> None:
        """Send one message, as soon as the client takes it. Raises GRPCError if it does not."""
        try:
            await at_most(self._bounds.silence_s, self._stream.send_message(message))
        except TimeoutError:
            connection = self._stream._stream.connection
            if not connection.write_ready.is_set():
                connection._transport.abort()  # not even a status would get through
            silence = f"the client took nothing for {self._bounds.silence_s:.0f} s"
            raise GRPCError(Status.ABORTED, silence) from None

    async def send_messages(self, messages: Sequence[Any]) -> None:
        """Send some that are ready. Raises GRPCError."""
        for message in messages:
            await self.send_message(message)

    def _decode(self, body: bytes) -> Any:
        try:
            return decode(self._receives, body)
        except Exception:  # whatever a decoder may raise, it is the bytes that are wrong
            name = self._receives.__name__
            raise GRPCError(Status.INVALID_ARGUMENT, f"these bytes are no {name}") from None

    def _check_frame(self, compressed: int, size: int) -> None:
        if compressed:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not taken")
        if size > self._bounds.message_bytes:
            takes = f"a message of {size} bytes; at most {self._bounds.message_bytes} are taken"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, takes)


class UnaryCall(Call):
    """One whose client owes exactly one message; grpclib's own services rely on it."""

    async def recv_message(self) -> Any:
        """Return the message. Raises GRPCError."""
        message = await super().recv_message()
        if message is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "the call ended before its message")
        return message
