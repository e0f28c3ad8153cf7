"""What gRPC calls are counted by."""

from collections.abc import Mapping
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from supervisor.api.grpc_counting import counted
from supervisor.api.grpc_status import grpc_error
from supervisor.telemetry.metrics import Metrics
from supervisor.vm.commands import CommandDenied, DenyReason

DENIED = grpc_error(CommandDenied(DenyReason.VM_UNKNOWN, "no such VM"), "GetVm")
METHOD, EVENTS = "/chronovisor.v1.Supervisor/GetVm", "/chronovisor.v1.Supervisor/WatchEvents"


def handlers(error: Exception | None, metrics: Metrics) -> Mapping[str, Handler]:
    """Two calls that end alike; while one lasts, a client follows the events."""

    async def call(_stream: Any) -> None:
        if error is not None:
            raise error

    async def follow(_stream: Any) -> None:
        assert told(metrics, "chronovisor_subscribers", api="grpc") == 1

    unary = Handler(call, Cardinality.UNARY_UNARY, object, object)
    streamed = Handler(follow, Cardinality.UNARY_STREAM, object, object)
    return counted({METHOD: unary, EVENTS: streamed}, metrics)


def told(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_calls_are_counted_by_method_and_status_and_timed() -> None:
    metrics = Metrics()
    await handlers(None, metrics)[METHOD].func(None)
    assert told(metrics, "chronovisor_grpc_requests_total", method="GetVm", status="ok") == 1
    assert told(metrics, "chronovisor_grpc_request_seconds_count", method="GetVm") == 1


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (DENIED, "not_found", "vm-unknown"),
        (GRPCError(Status.INVALID_ARGUMENT, "x"), "invalid_argument", "invalid-argument"),
    ],
)
async def test_refusals_are_counted_by_their_reason(
    error: GRPCError, status: str, reason: str
) -> None:
    metrics = Metrics()
    with pytest.raises(GRPCError):
        await handlers(error, metrics)[METHOD].func(None)
    assert told(metrics, "chronovisor_grpc_requests_total", method="GetVm", status=status) == 1
    assert told(metrics, "chronovisor_refusals_total", reason=reason) == 1


async def test_who_follows_the_events_is_counted_while_it_does() -> None:
    metrics = Metrics()
    await handlers(None, metrics)[EVENTS].func(None)
    assert told(metrics, "chronovisor_subscribers", api="grpc") == 0
    assert told(metrics, "chronovisor_grpc_request_seconds_count", method="WatchEvents") is None
