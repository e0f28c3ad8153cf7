"""The event log as CloudEvents over WebSocket, one JSON object a message.

A client is authenticated and its question checked before the upgrade, so what is wrong is told as
an HTTP status with a JSON body. Afterwards it only listens. Every client pulls from the log at its
own pace; one that stalls holds nothing but its own connection, and that not for long. A message is
made once for all of them, and what there is at a time goes out in one write. Consoles have the same
listener, and a conversation of their own (:mod:`.console_websocket`).

The codes of a close are in :mod:`.close_codes`; its reason names the position to resume after. A
client whose connection does not take even that is cut off; it knows its position itself.
"""

import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus

import msgspec
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    wrap_server_stream,
)

from eventlog import LogEnded
from supervisor.access.roles import Action, Identity
from supervisor.access.tls import certified_names
from supervisor.api import auth, console_websocket, event_query, subscription
from supervisor.api.close_codes import CloseCode
from supervisor.api.cloudevents import SUBPROTOCOL, encode, event_of
from supervisor.api.encoded import Encoded
from supervisor.api.frames import SharedStream, text_frame
from supervisor.api.grpc_status import log_incident
from supervisor.api.http_status import http_status
from supervisor.api.permission import permitted
from supervisor.api.places import Places
from supervisor.api.ports import ConsoleSource, Log, Viewer
from supervisor.api.scope import sight, within_reach
from supervisor.api.secured import secured
from supervisor.api.subscription import Item, Matching
from supervisor.api.websocket_peer import BOUNDS, Bounds, Close, Peer
from supervisor.telemetry.metrics import Metrics
from supervisor.vm.commands import CommandDenied

INCOMING_BYTES = 4096
"""Clients have nothing to say; a longer message is not even read."""
SEND_BYTES = 64 * 1024
"""Messages that are sent together, unless one alone is longer: a client must take them in time."""

Conversation = Callable[[WebSocketConnection, SharedStream], Awaitable[None]]
"""What follows on the upgrade, with a client that may have what it asks for."""


class UnknownPath(Exception):
    """Nothing is served under the path of a request."""


async def serve_websocket(
    log: Log,
    consoles: ConsoleSource,
    *,
    tcp: socket.socket,
    door: auth.Door,
    metrics: Metrics,
    bounds: Bounds = BOUNDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the log and the consoles on a TCP listener, which is ours to close, until cancelled."""
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(tcp))
    server = WebSocketServer(log, consoles, door, metrics, bounds)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, server.serve_connection, [listener]))
        task_status.started()


class WebSocketServer:
    """One listener's clients."""

    def __init__(
        self,
        log: Log,
        consoles: ConsoleSource,
        door: auth.Door,
        metrics: Metrics,
        bounds: Bounds,
    ) -> None:
        self._subscribers = metrics.subscribers.labels("websocket")
        self._refusals = metrics.refusals
        self._log = log
        self._consoles = consoles
        self._door = door
        self._bounds = bounds
        self._places = Places(bounds.clients)
        self._framed = Encoded(self._frame)
        self.connections = 0

    def _frame(self, item: Item) -> bytes:
        log_id, node_id = self._log.log_id, self._log.node_id
        return text_frame(
            encode(event_of(item, log_id=log_id, node_id=node_id, now_ns=time.time_ns()))
        )

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Nothing that it does can end the others."""
        self.connections += 1
        try:
            if self.connections <= self._bounds.clients + self._bounds.refusals:
                await self._serve(stream)
        except Exception as error:
            log_incident(error, "a WebSocket connection")
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as talking, trio.open_nursery() as reading:
                reading.cancel_scope.shield = True  # a client agrees to a goodbye after it was said
                talking.start_soon(self._converse, reading, stream)
                await trio.sleep_forever()
        except* (ConnectionClosed, trio.BrokenResourceError):
            pass  # clients come and go, and some speak no TLS

    async def _converse(self, reading: trio.Nursery, accepted: trio.SocketStream) -> None:
        with ExitStack() as held:
            held.callback(reading.cancel_scope.cancel)
            with trio.move_on_after(self._bounds.handshake_s) as handshake:
                stream, certified = await self._secured(accepted)
                request = await wrap_server_stream(reading, stream, max_message_size=INCOMING_BYTES)
                try:
                    converse = await self._admit(request, certified, held)
                except CommandDenied as denied:
                    self._refusals.labels(denied.reason.value).inc()
                    parameter = denied.violations[0].field if denied.violations else "path"
                    await _reject(request, http_status(denied.reason), parameter, denied.detail)
                    return
                except UnknownPath as unknown:
                    await _reject(request, 404, "path", str(unknown))
                    return
                offered = SUBPROTOCOL in request.proposed_subprotocols
                connection = await request.accept(subprotocol=SUBPROTOCOL if offered else None)
            if not handshake.cancelled_caught:
                await converse(connection, stream)

    async def _secured(self, stream: trio.SocketStream) -> tuple[SharedStream, Sequence[str]]:
        """Return what to talk over, and the names of the client's certificate."""
        if self._door.tls is None:
            return SharedStream(stream), ()
        private = secured(stream, self._door.tls)
        await private.do_handshake()
        return SharedStream(private), certified_names(private.getpeercert())

    async def _admit(
        self, request: WebSocketRequest, certified: Sequence[str], held: ExitStack
    ) -> Conversation:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers
        }
        host = request._event.host  # kept apart from the other headers, and not passed on
        identity = self._door.identify(headers, host, certified)
        self._places.take(request)
        held.callback(self._places.leave, request)
        return await self._conversation(request.path, identity, held)

    async def _conversation(self, target: str, identity: Identity, held: ExitStack) -> Conversation:
        path = event_query.path_of(target)
        if path == event_query.EVENTS_PATH:
            caller, asked = permitted(identity, Action.WATCH_EVENTS), event_query.parse(target)
            sees = sight(caller, self._consoles.vm, asked.vm_id)
            matching = await subscription.begin(asked, self._log, sees)
            held.enter_context(self._subscribers.track_inprogress())
            return partial(self._tell, matching)
        if path.startswith(console_websocket.CONSOLE_PATH):
            caller = permitted(identity, Action.ATTACH_CONSOLE)
            wanted = console_websocket.parse(target)
            within_reach(caller, self._consoles.vm(wanted.vm_id))
            viewer = held.enter_context(self._consoles.attach(wanted.vm_id, wanted.launch))
            return partial(self._show, viewer)
        served = f"{event_query.EVENTS_PATH} and {console_websocket.CONSOLE_PATH}VM_ID"
        raise UnknownPath(f"path: nothing is here; served are {served}")

    async def _tell(
        self, matching: Matching, connection: WebSocketConnection, stream: SharedStream
    ) -> None:
        await Client(connection, stream, self._framed, matching, self._bounds).converse()

    async def _show(
        self, viewer: Viewer, connection: WebSocketConnection, _stream: SharedStream
    ) -> None:
        await console_websocket.ConsoleClient(connection, viewer, self._bounds).converse()


async def _reject(request: WebSocketRequest, status: int, parameter: str, error: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    body = msgspec.json.encode({"error": error, "parameter": parameter})
    await request.reject(status, extra_headers=headers, body=body)


class Client:
    """One subscriber after the upgrade."""

    def __init__(
        self,
        connection: WebSocketConnection,
        stream: SharedStream,
        framed: Callable[[Item], bytes],
        matching: Matching,
        bounds: Bounds,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._framed = framed
        self._matching = matching
        self._peer = Peer(connection, bounds)
        self._position = matching.after

    async def converse(self) -> None:
        """Send events until one side has enough, then close."""
        await self._peer.converse(self._send_events, self._refuse_messages, close=self._close)

    async def _send_events(self) -> Close:
        try:
            while True:
                for write, position in self._writes(await self._matching.take()):
                    is_too_slow = await self._is_too_slow_for(write)
                    self._position = position
                    if is_too_slow:
                        return self._close(CloseCode.TOO_SLOW, "too slow")
        except LogEnded:
            return self._close(CloseCode.LOG_ENDED, "the log takes no more events")

    def _writes(self, items: Sequence[Item]) -> Iterator[tuple[bytes, int]]:
        """Yield whole messages to send together, and the position that they lead to."""
        frames, size = [], 0
        for item in items:
            frames.append(self._framed(item))
            size += len(frames[-1])
            if size >= SEND_BYTES:
                yield b"".join(frames), item.position
                frames, size = [], 0
        if frames:
            yield b"".join(frames), items[-1].position

    async def _is_too_slow_for(self, write: bytes) -> bool:
        """Send it; return whether that took longer than a client may."""
        if self._connection.closed is not None:
            raise ConnectionClosed(self._connection.closed)
        if not (rest := self._stream.send_now(write)):
            return False
        return await self._peer.is_too_slow_for(partial(self._stream.send_all, rest))

    async def _refuse_messages(self) -> Close:
        await self._connection.get_message()
        return self._close(CloseCode.UNWANTED_MESSAGE, "this connection takes no messages")

    def _close(self, code: CloseCode, why: str) -> Close:
        return Close(code, f"{why}; resume after {self._position}")
