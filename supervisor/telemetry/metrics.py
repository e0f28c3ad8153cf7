"""The instruments of one life of the daemon: seconds, bytes and counts, in Prometheus's words.

Times are taken where they pass: an append around the disk's answer, a launch from the log, in which
it begins and ends. No label has values that a client or a guest could choose.
"""

from collections.abc import AsyncIterable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from eventlog import CaughtUp, LogEnded, Record
from eventlog.storage import Storage
from supervisor.telemetry.timed_storage import TimedStorage
from supervisor.vm import events as vm

APPEND_BUCKETS = (0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""From a disk with a battery to one that is failing."""
LAUNCH_BUCKETS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
"""From KVM to software emulation on a busy host; a launch's deadline is 2 minutes."""
REQUEST_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

INTENDED = vm.TAGS[vm.LaunchIntended]
STARTED = vm.TAGS[vm.GuestStarted]
OVER = frozenset(
    vm.TAGS[ending] for ending in (vm.VmStopped, vm.VmFailed, vm.LaunchEnded, vm.LaunchAbandoned)
)

_NS = 1e9


class Followed(Protocol):
    """The part of :class:`eventlog.EventLog` that launches are timed by."""

    @property
    def head(self) -> int: ...
    def subscribe(self, after: int = 0) -> AsyncIterable[Record | CaughtUp]: ...


class Metrics:
    """The instruments of one life."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.appends = self._histogram(
            "chronovisor_log_append_seconds",
            "Time for which one write to the event log took to become durable.",
            APPEND_BUCKETS,
        )
        self.launches = self._histogram(
            "chronovisor_launch_seconds",
            "Time from the decision to launch a VM until its guest runs.",
            LAUNCH_BUCKETS,
        )
        self.requests = self._counter(
            "chronovisor_http_requests", "HTTP requests that were answered.", "operation", "status"
        )
        self.request_times = self._histogram(
            "chronovisor_http_request_seconds",
            "Time from a request's headers to the end of its answer, streams left out.",
            REQUEST_BUCKETS,
            "operation",
        )
        self.grpc_requests = self._counter(
            "chronovisor_grpc_requests", "gRPC calls that were answered.", "method", "status"
        )
        self.grpc_request_times = self._histogram(
            "chronovisor_grpc_request_seconds",
            "Time from a call's headers to its status, streams left out.",
            REQUEST_BUCKETS,
            "method",
        )
        self.refusals = self._counter(
            "chronovisor_refusals", "Requests refused, by the reason that clients get.", "reason"
        )
        self.subscribers = self._gauge(
            "chronovisor_subscribers", "Clients that follow the event log.", "api"
        )
        self.lost_spans = self._counter(
            "chronovisor_trace_spans_lost", "Spans of traces that the collector did not take."
        )
        build = self._gauge("chronovisor_build_info", "The daemon's version.", "version")
        build.labels(version("chronovisor")).set(1)

    def _histogram(
        self, name: str, told: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, told, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(name, told, labels, registry=self.registry)

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(name, told, labels, registry=self.registry)

    def timed(self, storage: Callable[[Path], Storage]) -> Callable[[Path], Storage]:
        """Return how to open a log's storage so that its writes are timed."""
        return lambda directory: TimedStorage(storage(directory), self.appends.observe)

    async def follow(self, log: Followed) -> None:
        """Take the times of launches from the log, as it grows."""
        begun: dict[str, int] = {}  # of launches under way: as many as may run
        try:
            async for item in log.subscribe(log.head):
                if isinstance(item, CaughtUp):
                    continue
                if item.type == INTENDED:
                    begun[item.stream] = item.recorded_at
                elif item.type == STARTED and item.stream in begun:
                    self.launches.observe((item.recorded_at - begun.pop(item.stream)) / _NS)
                elif item.type in OVER:
                    begun.pop(item.stream, None)
        except LogEnded:
            return
