"""What Prometheus scrapes: instruments that are kept, and states that are counted just then."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from supervisor.access.roles import Action
from supervisor.api.ports import Supervisor
from supervisor.http_api.operation import Content, Operation
from supervisor.telemetry.metrics import Metrics
from supervisor.vm.state import Phase


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
