"""The HTTP API of one life of the daemon, put together and served."""

import socket
from typing import cast

import trio
from hypercorn.typing import ASGIFramework

from supervisor.access.roles import PUBLIC
from supervisor.api import auth
from supervisor.api.ports import Supervisor
from supervisor.api.readiness import Readiness
from supervisor.http_api.artifacts import Artifacts
from supervisor.http_api.bounds import BOUNDS, Bounds
from supervisor.http_api.computations import Computations
from supervisor.http_api.connections import Connections
from supervisor.http_api.downloads import Downloads
from supervisor.http_api.events import Events
from supervisor.http_api.gate import Gate
from supervisor.http_api.health import Probes
from supervisor.http_api.inputs import Inputs
from supervisor.http_api.metrics import Scrapes
from supervisor.http_api.openapi import Description
from supervisor.http_api.operation import Operation
from supervisor.http_api.routing import routes
from supervisor.http_api.run import Run
from supervisor.telemetry.metrics import Metrics


async def serve_http(
    supervisor: Supervisor,
    *,
    tcp: socket.socket,
    door: auth.Door,
    readiness: Readiness,
    metrics: Metrics,
    bounds: Bounds = BOUNDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve HTTP on a TCP listener, which is ours to close, until cancelled."""
    operations = operations_of(supervisor, readiness, metrics, bounds)
    public = {each.path for each in operations if each.action in PUBLIC}
    if door.exposure is auth.Exposure.NETWORK:
        public = set()
    router = routes(operations, metrics, bounds.request_s)
    gate = Gate(router, door, public, metrics, bounds)
    # Hypercorn and Starlette each have types of their own for the same thing.
    connections = Connections(cast(ASGIFramework, gate), bounds, door.tls)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(metrics.follow, supervisor.log)
        await nursery.start(connections.serve, tcp)
        task_status.started()


def operations_of(
    supervisor: Supervisor, readiness: Readiness, metrics: Metrics, bounds: Bounds
) -> tuple[Operation, ...]:
    """Return everything that is served."""
    parts = (
        Computations(supervisor, bounds),
        Artifacts(supervisor, bounds),
        Inputs(supervisor, bounds),
        Run(supervisor, bounds),
        Downloads(supervisor),
        Events(supervisor, bounds, metrics),
        Probes(readiness),
        Scrapes(metrics, supervisor),
    )
    operations = tuple(operation for part in parts for operation in part.operations())
    return (*operations, *Description(operations).operations())
