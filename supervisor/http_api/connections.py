"""HTTP/1.1 on Trio: connections, each served by Hypercorn's parts within our bounds.

Hypercorn shields what it sends from cancellation, so that a client who takes nothing would keep the
daemon from leaving; and a connection of its own goes on when nobody can be answered any more. Both
end here: a piece of an answer has a deadline, and a closed connection takes its tasks along.
"""

import logging
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Any

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIFramework, ConnectionState
from hypercorn.utils import parse_socket_addr

from supervisor.access.tls import certified_names
from supervisor.api.grpc_status import log_incident
from supervisor.api.places import Places
from supervisor.api.secured import secured
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.gate import CERTIFIED, TAKE_PLACE


class BoundedStream:
    """A client's stream, as Hypercorn uses it. Once closed, ``gone`` is cancelled."""

    def __init__(
        self,
        stream: trio.SocketStream,
        send_s: float,
        gone: trio.CancelScope,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = stream.socket
        self._secured = None if tls is None else secured(stream, tls)
        self._stream = self._secured or stream
        self.receive_some = self._stream.receive_some
        # Hypercorn answers from one task, and tells a client to continue, or that it erred, from
        # another: in this order it goes out, and neither fails for the other.
        self._turn = trio.StrictFIFOLock()
        self._send_s = send_s
        self._gone = gone

    async def certified(self) -> Sequence[str]:
        """Return the names of the client's certificate, once it is known who speaks."""
        if self._secured is None:
            return ()
        await self._secured.do_handshake()
        return certified_names(self._secured.getpeercert())

    @property
    def is_secured(self) -> bool:
        """Whether what is said is private."""
        return self._secured is not None

    async def send_all(self, data: bytes) -> None:
        """Send ``data``. Raises BrokenResourceError if the client does not take it in time."""
        async with self._turn:
            with trio.move_on_after(self._send_s) as patience:
                try:
                    await self._stream.send_all(data)
                except trio.BrokenResourceError:
                    self.hang_up()  # Hypercorn would wait on for who sent two requests and left
                    raise
        if patience.cancelled_caught:
            self.hang_up()
            raise trio.BrokenResourceError("the client takes nothing")

    async def send_eof(self) -> None:
        """Say that nothing more comes, after what is being sent."""
        async with self._turn:
            if isinstance(self._stream, trio.SocketStream):  # TLS says so as it closes
                await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection, and end who still works for it."""
        self._gone.cancel()
        with trio.move_on_after(self._send_s):
            await self._stream.aclose()

    def hang_up(self) -> None:
        """Close the connection at once, in the middle of whatever is sent."""
        self._gone.cancel()
        self.socket.close()


class Requests(h11.Connection):
    """A client's requests. What comes after the last one is nobody's (RFC 9112, section 9.6)."""

    def receive_data(self, data: bytes) -> None:
        """Take what came; the client's end in any case."""
        if not data or self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what the client said. Raises RemoteProtocolError."""
        return h11.NEED_DATA if self.their_state is h11.MUST_CLOSE else super().next_event()


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, which stays with it: HTTP/2 in plain text has no bounds of its own."""

    def __init__(self, app: AppWrapper, config: Config, *others: Any) -> None:
        super().__init__(app, config, *others)
        most = config.h11_max_incomplete_size
        self.connection = Requests(h11.SERVER, max_incomplete_event_size=most)

    async def _check_protocol(self, event: h11.Request) -> None:
        # An offer to change is one that a server may decline (RFC 9110, section 7.8).
        return


class Connection(TCPServer):
    """One connection of Hypercorn's Trio worker."""

    async def run(self) -> None:
        """Serve requests until one side has enough."""
        sock = self.stream.socket
        client = parse_socket_addr(sock.family, sock.getpeername())
        server = parse_socket_addr(sock.family, sock.getsockname())
        async with TaskGroup() as tasks:
            self._task_group = tasks
            self.protocol = Http1(  # type: ignore[assignment]
                self.app,
                self.config,
                self.context,
                tasks,
                self.state,
                self.stream.is_secured,
                client,
                server,
                self.protocol_send,
            )
            await self.idle_task.restart(tasks, self._idle_timeout)
            await self._read_data()
            await self.idle_task.stop()


class Connections:
    """The connections of one listener."""

    def __init__(
        self, app: ASGIFramework, bounds: Bounds, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self._app = ASGIWrapper(app)
        self._bounds = bounds
        self._config = _config(bounds)
        self._open: set[BoundedStream] = set()
        self._places = Places(bounds.connections)

    async def serve(
        self,
        tcp: socket.socket,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve a TCP listener, which is ours to close, until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(tcp))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hang_up_when_leaving)
            await nursery.start(partial(trio.serve_listeners, self._serve, [listener]))
            task_status.started()

    async def _hang_up_when_leaving(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for stream in tuple(self._open):
                stream.hang_up()

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= self._bounds.connections + self._bounds.refusals:
            await trio.aclose_forcefully(stream)
            return
        with trio.CancelScope() as gone:
            bounded = BoundedStream(stream, self._bounds.send_s, gone, self._tls)
            self._open.add(bounded)
            try:
                await self._converse(bounded)
            except Exception as error:
                _tell(error)
            finally:
                self._open.discard(bounded)
                self._places.leave(bounded)
                bounded.hang_up()

    async def _converse(self, stream: BoundedStream) -> None:
        with trio.fail_after(self._bounds.idle_s):
            certified = await stream.certified()
        context, take_place = WorkerContext(None), partial(self._places.take, stream)
        state = ConnectionState({CERTIFIED: certified, TAKE_PLACE: take_place})
        connection = Connection(self._app, self._config, context, state, stream)  # type: ignore[arg-type]
        await connection.run()


def _tell(error: Exception) -> None:
    """Log what no client can cause; that one went away is not worth a word."""
    whole = error if isinstance(error, ExceptionGroup) else ExceptionGroup("", [error])
    ours = whole.split(
        (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)
    )[1]
    if ours is not None:
        log_incident(ours, "an HTTP connection")


def _config(bounds: Bounds) -> Config:
    config = Config()
    config.h11_max_incomplete_size = bounds.header_bytes
    config.keep_alive_timeout = bounds.idle_s
    config.include_server_header = False
    config.errorlog = logging.getLogger(__name__)
    return config
