"""gRPC on Trio: the only module of the daemon that knows asyncio.

grpclib is written for asyncio, so it runs in a loop that is itself a Trio task (trio-asyncio), in
the same thread. A call crosses once, as a whole: its handler here awaits a Trio task, and when
grpclib cancels the handler (the client went away, its deadline passed) that task is cancelled too,
and waited for. Streams cross once for the messages that are ready, so a slow client holds back its
source and nothing else.

    client -> grpclib (asyncio) -> _Call: bounds, deadlines, status -> service method (Trio)

What grpclib leaves unbounded has its bound here: the size of a message and the silence of a client.
"""

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import chain
from typing import Any

import grpclib.utils
import msgspec
import trio
import trio_asyncio
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.health.service import Health
from grpclib.server import Stream

from supervisor.api import auth
from supervisor.api.grpc_connections import Entrance, GrpcServer, admitted, by_credentials, by_uid
from supervisor.api.grpc_messages import decode
from supervisor.api.grpc_services import offered
from supervisor.api.grpc_status import grpc_error
from supervisor.api.ports import Supervisor
from supervisor.api.readiness import Readiness
from supervisor.api.reflection import with_reflection
from supervisor.api.uploads import CHUNK_BYTES

STOP_SECONDS = 5.0
"""What calls get to unwind when the daemon leaves; durable appends take milliseconds."""

TURNS = 8
"""Turns of the loop from an accepted connection to one that was hung up on: four in CPython."""

_logger = logging.getLogger(__name__)

# grpclib keeps the function that asyncio had when grpclib was imported. From Python 3.12 on that
# one is written in C and cannot see a loop of trio-asyncio, which puts its own in its place.
grpclib.utils._current_task = asyncio.current_task


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


async def serve_grpc(
    supervisor: Supervisor,
    *,
    unix: Sequence[socket.socket],
    tcp: socket.socket,
    door: auth.Door,
    readiness: Readiness,
    bounds: CallBounds = BOUNDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve gRPC on Unix listeners and one of TCP until cancelled; their owner closes them."""
    async with trio_asyncio.open_loop() as loop:
        # The loop's own handler would end the daemon for what one client did.
        loop.set_exception_handler(_log_loop_error)
        handlers = _handlers(supervisor, readiness, bounds)
        start = trio_asyncio.aio_as_trio(_start)
        servers = [await start(handlers, listener, by_uid, bounds) for listener in unix]
        by_door = partial(by_credentials, door)
        servers.append(await start(handlers, tcp, by_door, bounds, door.tls))
        task_status.started()
        await _until_cancelled(servers, (*unix, tcp), readiness)


async def _until_cancelled(
    servers: Sequence[GrpcServer], listeners: Sequence[socket.socket], readiness: Readiness
) -> None:
    try:
        await trio.sleep_forever()
    finally:
        readiness.leave()
        with trio.move_on_after(STOP_SECONDS, shield=True):
            for server, listener in zip(servers, listeners, strict=True):
                await trio_asyncio.aio_as_trio(_stop)(server, listener)


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _logger.error("gRPC: %s", context["message"], exc_info=context.get("exception"))


class _Call:
    """One call with bounds: what handlers use in place of grpclib's own stream."""

    def __init__(self, stream: "Stream[Any, Any]", receives: type[Any], bounds: CallBounds) -> None:
        self._stream = stream
        self._receives = receives
        self._bounds = bounds
        self.send_trailing_metadata = stream.send_trailing_metadata

    async def recv_message(self) -> Any | None:
        """Return the client's next message; None once it has sent its last. Raises GRPCError."""
        # grpclib would take 4 GiB into memory, and answer UNKNOWN to a message that is broken.
        data = self._stream._stream.recv_data
        try:
            async with asyncio.timeout(self._bounds.silence_s):
                prefix = await data(5)
                if not prefix:
                    return None
                compressed, size = struct.unpack(">BI", prefix)
                self._check_frame(compressed, size)
                body = await data(size)
        except TimeoutError:
            silence = f"no message came for {self._bounds.silence_s:.0f} s"
            raise GRPCError(Status.DEADLINE_EXCEEDED, silence) from None
        except AssertionError:
            raise GRPCError(Status.INVALID_ARGUMENT, "the last message is cut short") from None
        if len(body) != size:
            raise GRPCError(Status.INVALID_ARGUMENT, "the last message is cut short")
        return self._decode(body)

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        while (message := await self.recv_message()) is not None:
            yield message

    async def send_message(self, message: Any) -> None:
        """Send one message, as soon as the client takes it. Raises GRPCError if it does not."""
        try:
            async with asyncio.timeout(self._bounds.silence_s):
                await self._stream.send_message(message)
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


class _UnaryCall(_Call):
    """One whose client owes exactly one message; grpclib's own services rely on it."""

    async def recv_message(self) -> Any:
        """Return the message. Raises GRPCError."""
        message = await super().recv_message()
        if message is None:
            raise GRPCError(Status.INVALID_ARGUMENT, "the call ended before its message")
        return message


Serve = Callable[[_Call], Awaitable[None]]


def _handlers(
    supervisor: Supervisor, readiness: Readiness, bounds: CallBounds
) -> Mapping[str, Handler]:
    services = offered(supervisor)
    contracts = [each.contract for each in services]
    handlers = {}
    for path, handler, method in chain.from_iterable(each.calls() for each in services):
        serve = partial(_CROSSINGS[handler.cardinality], method)
        handlers[path] = _bounded(path, handler, serve, bounds)
    health = Health({contract: [readiness.grpc] for contract in contracts})
    for path, handler in with_reflection(*contracts, health).items():
        if path not in handlers:  # grpclib serves these by itself
            handlers[path] = _bounded(path, handler, handler.func, bounds)
    return handlers


def _bounded(path: str, handler: Handler, serve: Serve, bounds: CallBounds) -> Handler:
    """Return the handler with a deadline and a status for whatever may happen in it."""

    kind = _Call if handler.cardinality.client_streaming else _UnaryCall

    async def handle(stream: "Stream[Any, Any]") -> None:
        deadline = asyncio.timeout(admitted.get().timeout_s)
        try:
            async with deadline:
                await serve(kind(stream, handler.request_type, bounds))
        except Exception as error:
            passed = GRPCError(Status.DEADLINE_EXCEEDED, "the client's deadline passed")
            raise grpc_error(passed if deadline.expired() else error, path) from None

    return handler._replace(func=handle)


async def _unary_unary(method: Callable[..., Awaitable[Any]], call: _Call) -> None:
    request = await call.recv_message()
    response = await trio_asyncio.trio_as_aio(method)(request, admitted.get().caller)
    await call.send_message(response)


async def _stream_unary(method: Callable[..., Awaitable[Any]], call: _Call) -> None:
    receive = trio_asyncio.aio_as_trio(call.recv_message)

    async def messages() -> AsyncGenerator[Any, None]:
        while (message := await receive()) is not None:
            yield message

    async def run() -> Any:
        async with aclosing(messages()) as requests:
            return await method(requests, admitted.get().caller)

    await call.send_message(await trio_asyncio.trio_as_aio(run)())


async def _unary_stream(method: Callable[..., AsyncGenerator[Any, None]], call: _Call) -> None:
    request = await call.recv_message()
    send = trio_asyncio.aio_as_trio(call.send_messages)

    async def run() -> None:
        async with aclosing(method(request, admitted.get().caller)) as responses:
            async for response in responses:
                await send(response if isinstance(response, list) else [response])

    await trio_asyncio.trio_as_aio(run)()


_CROSSINGS: dict[Cardinality, Callable[..., Awaitable[None]]] = {
    Cardinality.UNARY_UNARY: _unary_unary,
    Cardinality.STREAM_UNARY: _stream_unary,
    Cardinality.UNARY_STREAM: _unary_stream,
}


async def _start(
    handlers: Mapping[str, Handler],
    listener: socket.socket,
    entrance: Entrance,
    bounds: CallBounds,
    tls: ssl.SSLContext | None = None,
) -> GrpcServer:
    server = GrpcServer(handlers, entrance, bounds.first_request_s, bounds.keepalive_s)
    await server.start(sock=listener, ssl=tls)
    return server


async def _stop(server: GrpcServer, listener: socket.socket) -> None:
    # asyncio leaks a connection that was accepted, but not yet made, when its server is closed.
    asyncio.get_running_loop().remove_reader(listener)
    await _turns()  # so that who watches our health is told before the line goes dead
    server.hang_up()
    await _turns()
    server.close()
    await _turns()
    await server.wait_closed()


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
