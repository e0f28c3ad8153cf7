"""What Prometheus scrapes: seconds, bytes and counts of this life of the daemon.

States are counted when they are asked for; times are taken where they pass: an append around the
disk's answer, a launch from the log, in which it begins and ends.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from eventlog import CaughtUp, LogEnded
from eventlog.passthrough import PassingFile, PassingStorage
from eventlog.storage import File, Storage
from supervisor.access.roles import Action
from supervisor.api.ports import Log, Supervisor
from supervisor.http_api.operation import Content, Operation
from supervisor.vm.state import Phase

APPEND_BUCKETS = (0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""From a disk with a battery to one that is failing."""
LAUNCH_BUCKETS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
"""From KVM to software emulation on a busy host; a launch's deadline is 2 minutes."""
REQUEST_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

INTENDED = "vm.launch-intended.v1"
STARTED = "vm.guest-started.v1"
OVER = frozenset({"vm.stopped.v1", "vm.failed.v1", "vm.launch-ended.v1", "vm.launch-abandoned.v1"})

_NS = 1e9


class Metrics:
    """The instruments of one life."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.appends = Histogram(
            "chronovisor_log_append_seconds",
            "Time for which one write to the event log took to become durable.",
            buckets=APPEND_BUCKETS,
            registry=self.registry,
        )
        self.launches = Histogram(
            "chronovisor_launch_seconds",
            "Time from the decision to launch a VM until its guest runs.",
            buckets=LAUNCH_BUCKETS,
            registry=self.registry,
        )
        self.requests = Counter(
            "chronovisor_http_requests",
            "HTTP requests that were answered.",
            ("operation", "status"),
            registry=self.registry,
        )
        self.request_times = Histogram(
            "chronovisor_http_request_seconds",
            "Time from a request's headers to the end of its answer, streams left out.",
            ("operation",),
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )
        build = Gauge(
            "chronovisor_build_info", "The daemon's version.", ("version",), registry=self.registry
        )
        build.labels(version("chronovisor")).set(1)

    def timed(self, storage: Callable[[Path], Storage]) -> Callable[[Path], Storage]:
        """Return how to open a log's storage so that its writes are timed."""
        return lambda directory: TimedStorage(storage(directory), self.appends.observe)

    async def follow(self, log: Log) -> None:
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


class TimedStorage(PassingStorage):
    """A log's storage, whose writes are timed."""

    def __init__(self, inner: Storage, observe: Callable[[float], None]) -> None:
        super().__init__(inner)
        self._observe = observe

    def wrap(self, file: File, name: str) -> File:
        """Return a file whose syncs are timed."""
        return _TimedFile(file, self._observe)


class _TimedFile(PassingFile):
    def __init__(self, inner: File, observe: Callable[[float], None]) -> None:
        super().__init__(inner)
        self._observe = observe
        self._begun: float | None = None

    def pwrite(self, data: bytes, offset: int) -> None:
        self._begun = self._begun or time.perf_counter()
        super().pwrite(data, offset)

    def fdatasync(self) -> None:
        super().fdatasync()
        if self._begun is not None:
            self._observe(time.perf_counter() - self._begun)
        self._begun = None


class Scraped(Collector):
    """What is counted when it is asked for."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Yield the VMs of each phase, and how far the log has come."""
        vms = GaugeMetricFamily("chronovisor_vms", "VMs in each phase.", labels=("phase",))
        count = Tally(state.phase for state in self._supervisor.list())
        for phase in Phase:
            if phase is not Phase.DELETED:
                vms.add_metric((phase.value,), count[phase])
        yield vms
        log = self._supervisor.log
        yield GaugeMetricFamily(
            "chronovisor_log_head_position", "Position of the log's last event.", value=log.head
        )
        yield GaugeMetricFamily(
            "chronovisor_log_first_position", "Position of the first event kept here.", log.first
        )


class Scrapes:
    """What Prometheus asks."""

    def __init__(self, metrics: Metrics, supervisor: Supervisor) -> None:
        metrics.registry.register(Scraped(supervisor))
        self._registry = metrics.registry

    def operations(self) -> tuple[Operation, ...]:
        """Return what is offered here."""
        return (
            Operation(
                "metrics",
                "GET",
                "/metrics",
                Action.GET_METRICS,
                "Tell what Prometheus scrapes, in its text format.",
                self._scrape,
                {200: Content("The metrics.", media_type="text/plain")},
            ),
        )

    async def _scrape(self, _request: Request) -> Response:
        text = generate_latest(self._registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
