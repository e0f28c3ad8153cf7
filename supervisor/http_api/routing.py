"""Operations -> routes, each with its deadline and its own times."""

from collections.abc import Iterable
from http import HTTPStatus
from itertools import groupby

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from supervisor.api.permission import permitted
from supervisor.http_api.operation import Operation, Span
from supervisor.http_api.problems import Refusal
from supervisor.telemetry.metrics import Metrics


def routes(operations: Iterable[Operation], metrics: Metrics, request_s: float) -> Router:
    """Return the router of a table of operations."""
    by_path = groupby(sorted(operations, key=_path), _path)
    found = [_Resource(path, tuple(there), metrics, request_s) for path, there in by_path]
    # What is fixed comes first, so that no parameter takes its place.
    found.sort(key=lambda resource: ("{" in resource.path, resource.path))
    return Router([resource.route() for resource in found], redirect_slashes=False)


def _path(operation: Operation) -> str:
    return operation.path


class _Resource:
    def __init__(
        self, path: str, operations: Iterable[Operation], metrics: Metrics, request_s: float
    ) -> None:
        self.path = path
        self._operations = {operation.method: operation for operation in operations}
        self._metrics = metrics
        self._request_s = request_s

    def route(self) -> Route:
        route = Route(self.path, self._serve)
        route.methods = None  # any: here it is told which there are, and Starlette would add HEAD
        return route

    async def _serve(self, request: Request) -> Response:
        operation = self._operations.get(request.method)
        if operation is None:
            raise HTTPException(405, headers={"Allow": ", ".join(self._operations)})
        request.state.operation = operation.name
        request.state.parameters = operation.parameters
        identity, trace = request.state.identity, request.state.traceparent
        request.state.caller = permitted(identity, operation.action, trace)
        if operation.span is Span.STREAMED:
            return await operation.handle(request)
        with self._metrics.request_times.labels(operation.name).time():
            return await self._within_deadline(operation, request)

    async def _within_deadline(self, operation: Operation, request: Request) -> Response:
        with trio.move_on_after(self._request_s):
            return await operation.handle(request)
        late = f"the request was not done within {self._request_s:.0f} s; ask what became of it"
        raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, "request", late)
