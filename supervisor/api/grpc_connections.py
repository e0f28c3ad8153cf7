"""The connections of a gRPC server: who they are, how many there may be, what they may ask.

grpclib's own classes with an entrance in front. They are extended where grpclib keeps to itself
what a server on a hostile network needs; a version of it that moves these places fails the tests of
hostile clients.
"""

import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import grpclib.server
import h2.events
import h2.exceptions
import msgspec
from chronovisor_api.status_details import StatusDetailsCodec
from grpclib.config import Configuration
from grpclib.const import Handler
from grpclib.exceptions import GRPCError
from grpclib.metadata import encode_bin_value, encode_grpc_message
from grpclib.protocol import H2Protocol, Stream

from supervisor.access.tls import certified_names
from supervisor.api import auth
from supervisor.api.counted_listener import CountedListener
from supervisor.api.grpc_encoding import Codec
from supervisor.api.grpc_headers import (
    TIMEOUT_HEADER,
    Admitted,
    Authenticate,
    admit,
    authenticate_tcp,
    authenticate_unix,
)
from supervisor.api.grpc_status import grpc_error
from supervisor.api.grpc_transport import RESET_FRAMES, BoundedTransport, IdleFrames

CONNECTIONS = 256
"""Per listener. A client needs one; what lies beyond is a leak or a flood."""
HANDSHAKES = 64
"""Beyond those: connections on which TLS is still to be agreed on, or that are being refused."""
STREAM_WINDOW_BYTES = 1024 * 1024
"""What a client may send ahead of a call that does not read: one chunk of an upload."""
CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024
"""The same for all calls of a connection together."""

FRAME_HEADER_BYTES = 9
"""RFC 9113, section 4.1."""

IDLE = (
    h2.events.PingReceived,
    h2.events.PingAckReceived,
    h2.events.PriorityUpdated,
    h2.events.RemoteSettingsChanged,
    h2.events.SettingsAcknowledged,
)
"""What costs a client nothing and brings nobody anything, if there is a lot of it."""

Entrance = Callable[[Any], Authenticate]
"""A new connection's transport -> how its requests prove whose they are."""


def by_uid(transport: Any) -> Authenticate:
    """Let in whom the Unix socket shows to be at the other end."""
    return authenticate_unix(auth.peer_uid(transport.get_extra_info("socket")))


def by_credentials(door: auth.Door, transport: Any) -> Authenticate:
    """Let in who shows a token with each request, or showed a certificate before them."""
    return authenticate_tcp(door, certified_names(transport.get_extra_info("peercert")))


admitted: ContextVar[Admitted] = ContextVar("admitted")
"""What the headers of a call said; set in the task that serves it."""

_logger = logging.getLogger(__name__)


class _Requests(grpclib.server.Handler):
    """The requests of one connection: each is admitted by its headers before grpclib sees it."""

    authenticate: Authenticate
    first_admitted: Callable[[], None]

    def accept(
        self, stream: Stream, headers: list[tuple[str, str]], release_stream: Callable[[], Any]
    ) -> None:
        """Serve a request, or refuse it."""
        try:
            call = admit(headers, self.authenticate)
        except GRPCError as refusal:
            refused = _refuse(stream, grpc_error(refusal, "admission"), release_stream)
            self._tasks[stream] = self.loop.create_task(refused)
            return
        self.first_admitted()
        # The deadline is kept by us: grpclib answers UNKNOWN to one that has passed on arrival.
        headers = [field for field in headers if field[0] != TIMEOUT_HEADER]
        before = admitted.set(call)
        try:
            super().accept(stream, headers, release_stream)
        finally:
            admitted.reset(before)


async def _refuse(stream: Stream, refusal: GRPCError, release_stream: Callable[[], Any]) -> None:
    details = StatusDetailsCodec().encode(refusal.status, refusal.message, refusal.details)
    headers = [
        (":status", "200"),
        ("content-type", "application/grpc+proto"),
        ("grpc-status", str(refusal.status.value)),
        ("grpc-message", encode_grpc_message(refusal.message or "")),
        ("grpc-status-details-bin", encode_bin_value(details).decode()),
    ]
    try:
        with suppress(h2.exceptions.ProtocolError):  # the client has left already
            await stream.send_headers(headers, end_stream=True)
            if stream.closable:
                stream.reset_nowait()
    finally:
        release_stream()


class _Connection(H2Protocol):
    """One connection of a server, which counts it."""

    def __init__(self, server: "GrpcServer", requests: _Requests) -> None:
        super().__init__(requests, server._config, server._h2_config)
        self._server_side = server
        self._requests = requests

    def connection_made(self, transport: Any) -> None:
        """Find out who it is; hang up if there is no room."""
        loop = self._requests.loop
        transport = BoundedTransport(transport, loop.call_soon, loop.call_later)
        super().connection_made(transport)
        self._server_side._handlers.add(self._requests)
        transport.flush()  # so that also who is hung up on at once hears whom it talks to
        self._idle_frames = IdleFrames()
        self._process, self.processor.process = self.processor.process, self._unless_idle  # type: ignore[method-assign]
        server = self._server_side
        self._requests.authenticate = server.entrance(transport)
        self._transport = transport
        stranger = loop.call_later(server.first_request_s, transport.abort)
        self._requests.first_admitted = self._stranger_leaves = stranger.cancel
        server.transports.add(transport)
        if len(server.transports) > server.room:
            _logger.info("there is room for %d gRPC connections: hung up on one", server.room)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Serve what came; hang up on a frame longer than was agreed, and on odd headers."""
        try:
            super().data_received(data)
        except UnicodeDecodeError:
            _logger.info("a gRPC client sent headers that are not ASCII: hung up")
            self._transport.abort()
            return
        # h2 refuses such a frame only when it has all of it, which may be 16 MiB.
        h2_connection = self.connection._connection
        waiting = len(h2_connection.incoming_buffer._data)
        if waiting > FRAME_HEADER_BYTES + h2_connection.max_inbound_frame_size:
            self._transport.abort()

    def _unless_idle(self, event: h2.events.Event) -> None:
        """Take what a frame brings; hang up on a client that sends many which bring nothing."""
        if self._transport.is_closing():
            return
        if self._idle_frames.are_too_many(_idle_frames(event)):
            _logger.info("a gRPC client sent a flood of frames that bring nothing: hung up")
            self._transport.abort()
        elif not _is_to_be_ignored(event):
            self._process(event)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._stranger_leaves()
        self._server_side.transports.discard(self._transport)
        super().connection_lost(exc)


def _idle_frames(event: h2.events.Event) -> int:
    if isinstance(event, h2.events.StreamReset):
        return RESET_FRAMES
    return int(isinstance(event, IDLE) or _is_to_be_ignored(event))


def _is_to_be_ignored(event: h2.events.Event) -> bool:
    """Whether grpclib must not see it: it fails on the one and takes the other for an end."""
    is_empty = isinstance(event, h2.events.DataReceived) and not event.flow_controlled_length
    return is_empty or isinstance(event, h2.events.UnknownFrameReceived)


class _Mapped(msgspec.Struct, frozen=True):
    """Handlers in the form in which grpclib takes them."""

    handlers: Mapping[str, Handler]

    def __mapping__(self) -> dict[str, Handler]:
        return dict(self.handlers)


class GrpcServer(grpclib.server.Server):
    """Serves handlers on one listener; ``handlers`` run with :data:`admitted` set."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        entrance: Entrance,
        first_request_s: float,
        keepalive_s: float,
    ) -> None:
        config = Configuration(
            _keepalive_time=keepalive_s,
            _keepalive_timeout=keepalive_s,
            _keepalive_permit_without_calls=True,
            _http2_max_pings_without_data=0,  # which means: as many as it takes
            _http2_min_sent_ping_interval_without_data=keepalive_s / 2,
            http2_connection_window_size=CONNECTION_WINDOW_BYTES,
            http2_stream_window_size=STREAM_WINDOW_BYTES,
        )
        super().__init__(
            [_Mapped(handlers)],
            codec=Codec(),
            status_details_codec=StatusDetailsCodec(),
            config=config,
        )
        self.entrance = entrance
        self.first_request_s = first_request_s
        self.room = CONNECTIONS
        self.transports: set[Any] = set()

    async def listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Serve who comes to a listener."""
        self.listener = CountedListener(listener, CONNECTIONS + HANDSHAKES)
        handshake_s = None if tls is None else self.first_request_s
        # As in start(), which has no word for how long a handshake may take.
        self._server = await self._loop.create_server(
            self._protocol_factory,
            sock=self.listener,
            ssl=tls,
            ssl_handshake_timeout=handshake_s,
        )
        self._server_closed_fut = self._loop.create_future()

    def _protocol_factory(self) -> H2Protocol:
        # grpclib would remember who comes, and forget only who got as far as to have a connection.
        self.__gc_step__()
        requests = _Requests(
            self._mapping, self._codec, self._status_details_codec, self.__dispatch__
        )
        return _Connection(self, requests)

    def hang_up(self) -> None:
        """Abort the connections there are, and those that are still being made."""
        self.room = 0
        for transport in list(self.transports):
            transport.abort()
        self.listener.hang_up()
