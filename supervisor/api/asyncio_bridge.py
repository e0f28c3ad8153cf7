"""gRPC on Trio: where the daemon crosses from asyncio.

grpclib is written for asyncio, so it runs in a loop that is itself a Trio task (trio-asyncio), in
the same thread. A call crosses once, as a whole: its handler here awaits a Trio task, and when
grpclib cancels the handler (the client went away, its deadline passed) that task is cancelled too,
and waited for. Streams cross once for the messages that are ready, so a slow client holds back its
source and nothing else.

    client -> grpclib (asyncio) -> Call: bounds, deadlines, status -> service method (Trio)
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from itertools import chain
from typing import Any

import grpclib.utils
import trio
import trio_asyncio
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.health.service import Health
from grpclib.server import Stream
from structlog.contextvars import bind_contextvars
from trio_asyncio._handles import AsyncHandle

from supervisor.api import auth
from supervisor.api.grpc_call import BOUNDS, Call, CallBounds, UnaryCall
from supervisor.api.grpc_connections import Entrance, GrpcServer, admitted, by_credentials, by_uid
from supervisor.api.grpc_counting import counted
from supervisor.api.grpc_services import offered
from supervisor.api.grpc_status import grpc_error
from supervisor.api.ports import Supervisor
from supervisor.api.readiness import Readiness
from supervisor.api.reflection import with_reflection
from supervisor.caller import Caller
from supervisor.telemetry.metrics import Metrics
from supervisor.telemetry.trace_context import trace_of_request

STOP_SECONDS = 5.0
"""What calls get to unwind when the daemon leaves; durable appends take milliseconds."""

HANDLES_A_TURN = 100
"""Callbacks of asyncio before Trio's other tasks get their turn, which then wait some 30 ms at
most; the answers of as many calls leave together."""

TURNS = 8
"""Turns of the loop from an accepted connection to one that was hung up on: four in CPython."""

_logger = logging.getLogger(__name__)

# grpclib keeps the function that asyncio had when grpclib was imported. From Python 3.12 on that
# one is written in C and cannot see a loop of trio-asyncio, which puts its own in its place.
grpclib.utils._current_task = asyncio.current_task


async def serve_grpc(
    supervisor: Supervisor,
    *,
    unix: Sequence[socket.socket],
    tcp: socket.socket,
    door: auth.Door,
    readiness: Readiness,
    metrics: Metrics,
    bounds: CallBounds = BOUNDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve gRPC on Unix listeners and one of TCP until cancelled; their owner closes them."""
    async with trio_asyncio.open_loop() as loop:
        # The loop's own handler would end the daemon for what one client did.
        loop.set_exception_handler(_log_loop_error)
        _do_all_that_is_due(loop)
        handlers = counted(_handlers(supervisor, readiness, bounds), metrics)
        start = trio_asyncio.aio_as_trio(_start)
        servers = [await start(handlers, listener, by_uid, bounds) for listener in unix]
        by_door = partial(by_credentials, door)
        servers.append(await start(handlers, tcp, by_door, bounds, door.tls))
        task_status.started()
        await _until_cancelled(servers, readiness)


async def _until_cancelled(servers: Sequence[GrpcServer], readiness: Readiness) -> None:
    try:
        await trio.sleep_forever()
    finally:
        readiness.leave()
        with trio.move_on_after(STOP_SECONDS, shield=True):
            for server in servers:
                await trio_asyncio.aio_as_trio(_stop)(server)


def _do_all_that_is_due(loop: Any) -> None:
    """Have the loop do in one turn of Trio all that is due, as asyncio's own loop would.

    trio-asyncio's takes a turn for each callback, with a look at every socket between them.
    """
    one = loop._main_loop_one

    async def turn(*, no_wait: bool = False) -> None:
        await one(no_wait=no_wait)
        with suppress(trio.WouldBlock):
            for _ in range(0 if no_wait else HANDLES_A_TURN):
                await one(no_wait=True)

    loop._main_loop_one = turn


def _cross(method: Callable[..., Awaitable[Any]], *arguments: Any) -> "asyncio.Future[Any]":
    """Begin a Trio task at once; return what comes of it. trio-asyncio would have it queue up."""
    loop: Any = asyncio.get_running_loop()
    answer = asyncio.Future[Any](loop=loop)
    handle = AsyncHandle(method, arguments, loop, result_future=answer)
    loop._nursery.start_soon(handle._run, name=method)
    return answer


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _logger.error("gRPC: %s", context["message"], exc_info=context.get("exception"))


Serve = Callable[[Call], Awaitable[None]]


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

    kind = Call if handler.cardinality.client_streaming else UnaryCall

    async def handle(stream: "Stream[Any, Any]") -> None:
        deadline = asyncio.timeout(admitted.get().timeout_s)
        bind_contextvars(**_told_of(admitted.get().caller))  # for this call's task alone
        try:
            async with deadline:
                await serve(kind(stream, handler.request_type, bounds))
        except Exception as error:
            passed = GRPCError(Status.DEADLINE_EXCEEDED, "the client's deadline passed")
            told = grpc_error(passed if deadline.expired() else error, path)
            _leave_if_cancelled()
            raise told from None
        _leave_if_cancelled()  # what was asked for may have been done all the same

    return handler._replace(func=handle)


def _leave_if_cancelled() -> None:
    # Who would be told has left, and grpclib logs what else a cancelled call comes to as a fault.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from None


def _told_of(caller: Caller) -> dict[str, str]:
    """Return what log lines of a call say of it."""
    trace = trace_of_request(caller.traceparent, caller.command_id)
    return {"principal": caller.principal, "trace_id": trace.trace_id}


async def _unary_unary(method: Callable[..., Awaitable[Any]], call: Call) -> None:
    request = await call.recv_message()
    response = await _cross(method, request, admitted.get().caller)
    await call.send_message(response)


async def _stream_unary(method: Callable[..., Awaitable[Any]], call: Call) -> None:
    receive = trio_asyncio.aio_as_trio(call.recv_message)

    async def messages() -> AsyncGenerator[Any, None]:
        while (message := await receive()) is not None:
            yield message

    async def run() -> Any:
        async with aclosing(messages()) as requests:
            return await method(requests, admitted.get().caller)

    await call.send_message(await _cross(run))


async def _unary_stream(method: Callable[..., AsyncGenerator[Any, None]], call: Call) -> None:
    request = await call.recv_message()
    send = trio_asyncio.aio_as_trio(call.send_messages)

    async def run() -> None:
        async with aclosing(method(request, admitted.get().caller)) as responses:
            async for response in responses:
                await send(response if isinstance(response, list) else [response])

    await _cross(run)


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
    await server.listen(listener, tls)
    return server


async def _stop(server: GrpcServer) -> None:
    # asyncio leaks a connection that was accepted, but not yet made, when its server is closed.
    asyncio.get_running_loop().remove_reader(server.listener)
    await _turns()  # so that who watches our health is told before the line goes dead
    server.hang_up()
    await _turns()
    server.close()
    await _turns()
    await server.wait_closed()


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
