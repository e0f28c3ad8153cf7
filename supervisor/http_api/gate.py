"""The way in to every request: who may, what is counted, and a problem for whatever goes wrong."""

from collections.abc import Mapping, Set
from typing import Any

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from supervisor.access.roles import Identity, Role
from supervisor.access.tokens import TENANT
from supervisor.api import auth
from supervisor.api.grpc_status import log_incident
from supervisor.caller import Caller
from supervisor.http_api import problems
from supervisor.http_api.bounds import Bounds
from supervisor.telemetry.metrics import Metrics
from supervisor.telemetry.trace_context import trace_of_request

ANYBODY = Identity("anonymous", TENANT, Role.VIEWER)
"""Who asks for what is public, and for nothing else."""
CERTIFIED = "certified"
"""Where the state of a connection holds the names of the client's certificate."""
TAKE_PLACE = "take-place"
"""Where it holds how the client gets a place among those that are served."""
NOWHERE = "none"
"""The operation of a request that named none."""


class Gate:
    """An ASGI application in front of the routes."""

    def __init__(
        self,
        routes: ASGIApp,
        door: auth.Door,
        public: Set[str],
        metrics: Metrics,
        bounds: Bounds,
    ) -> None:
        self._routes = routes
        self._door = door
        self._public = public
        self._metrics = metrics
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # before the upgrade: 403
            return
        exchange = Exchange(receive, send)
        scope["app"] = self  # so that routes raise what they cannot serve
        doing = f"{scope['method']} {scope['path'][:200]}"
        try:
            self._admit(Request(scope))
            await self._routes(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            pass
        except Exception as error:
            await self._refuse(_only(error), doing, scope, exchange)
        finally:
            operation = scope["state"].get("operation", NOWHERE)
            self._metrics.requests.labels(operation, exchange.status).inc()

    def _admit(self, request: Request) -> None:
        headers = dict(request.headers)
        host = headers.get("host", "")
        self._door.check_place(host, headers.get("origin"))
        connection, identity = request.scope["state"], ANYBODY
        if request.scope["path"] not in self._public:
            identity = self._door.credentials.identify(headers, connection[CERTIFIED])
        connection[TAKE_PLACE]()
        request.state.identity = identity
        request.state.traceparent = auth.traceparent(headers)

    async def _refuse(
        self, error: Exception, doing: str, scope: Scope, exchange: "Exchange"
    ) -> None:
        if exchange.status:  # too late to say so; the answer breaks off
            log_incident(error, doing)
            return
        with bound_contextvars(**_told_of(scope["state"])):
            response = problems.answer(error, doing)
        self._metrics.refusals.labels(response.reason).inc()
        if not exchange.is_received:
            response.headers["Connection"] = "close"
        await response(scope, exchange.receive, exchange.send_and_linger(self._bounds.linger_s))


def _told_of(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what log lines say of a request that came as far as to have a caller."""
    caller = state.get("caller")
    if not isinstance(caller, Caller):
        return {}
    trace = trace_of_request(caller.traceparent, caller.command_id)
    return {"principal": caller.principal, "trace_id": trace.trace_id}


def _only(error: Exception) -> Exception:
    """Return the error of a stream, whose nursery wraps it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class Exchange:
    """One request and its answer, as far as they have come; ``status`` 0 is none yet."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.status = 0
        self.is_received = False

    async def receive(self) -> Message:
        """Return what the client sends next."""
        message = await self._receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        self.is_received = self.is_received or not more
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        self.status = message.get("status", self.status)
        await self._send(message)

    def send_and_linger(self, seconds: float) -> Send:
        """Return how to send an answer's body so that a client in mid-upload sees it.

        A connection that is closed while bytes come in is reset, and what was sent to it is lost.
        """

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body" and not self.is_received:
                await self.send({**message, "more_body": True})
                with trio.move_on_after(seconds):
                    while not self.is_received:
                        await self.receive()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await self.send(message)

        return send
