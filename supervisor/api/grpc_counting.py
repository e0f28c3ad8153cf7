"""What gRPC calls are counted by: their method, their status, and why they were refused."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from chronovisor_api.status_details import ErrorInfo, detail
from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError

from supervisor.access.roles import Action
from supervisor.api.grpc_actions import action_of
from supervisor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from grpclib.server import Stream


def counted(handlers: Mapping[str, Handler], metrics: Metrics) -> dict[str, Handler]:
    """Return handlers whose calls are counted; their errors must be statuses already."""
    return {path: _counted(path, handler, metrics) for path, handler in handlers.items()}


def _counted(path: str, handler: Handler, metrics: Metrics) -> Handler:
    method = path.rpartition("/")[2]
    is_watch = action_of(path) is Action.WATCH_EVENTS
    is_streamed = handler.cardinality.client_streaming or handler.cardinality.server_streaming

    async def handle(stream: "Stream[Any, Any]") -> None:
        begun, status = time.perf_counter(), Status.CANCELLED
        with ExitStack() as held:
            if is_watch:
                held.enter_context(metrics.subscribers.labels("grpc").track_inprogress())
            try:
                await handler.func(stream)
                status = Status.OK
            except GRPCError as error:
                status = error.status
                metrics.refusals.labels(_reason(error)).inc()
                raise
            finally:
                metrics.grpc_requests.labels(method, status.name.lower()).inc()
                if not is_streamed:
                    metrics.grpc_request_times.labels(method).observe(time.perf_counter() - begun)

    return handler._replace(func=handle)


def _reason(error: GRPCError) -> str:
    info = detail(error, ErrorInfo)
    told = error.status.name if info is None else info.reason
    return told.lower().replace("_", "-")
