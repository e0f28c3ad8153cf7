"""Health, metrics, and the document that describes the API."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.contextvars import get_contextvars

from eventlog import CaughtUp, Record
from eventlog.storage import DiskStorage
from supervisor.schema import TAGS
from supervisor.telemetry import metrics
from supervisor.telemetry.metrics import INTENDED, STARTED, Metrics
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import Json, Served, submit
from tests.telemetry.lives import event


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_readiness_follows_the_life_of_the_daemon(served: Served) -> None:
    async with served.client({}) as stranger:

        async def asked(path: str) -> tuple[int, str]:
            answer = await stranger.get(path)
            return answer.status_code, answer.json()["status"]

        assert await asked("/readyz") == (503, "recovering")
        served.readiness.recovered()
        assert await asked("/readyz") == (200, "serving")
        served.readiness.leave()
        assert await asked("/readyz") == (503, "leaving")
        assert await asked("/healthz") == (200, "leaving")


async def test_vms_are_counted_by_phase_and_requests_by_what_they_asked(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    await submit(client, key="another")
    supervisor.finish(vm_id, b"")
    await client.get("/v1/vms/nobody")
    await client.get("/nowhere")
    told = await scraped(client)
    assert (told["chronovisor_vms,defined"], told["chronovisor_vms,stopped"]) == (1, 1)
    assert told["chronovisor_vms,running"] == 0
    assert told["chronovisor_http_requests_total,submitComputation,201"] == 2
    assert told["chronovisor_http_requests_total,getVm,404"] == 1
    assert told["chronovisor_http_requests_total,none,404"] == 1
    assert told["chronovisor_http_request_seconds_count,submitComputation"] == 2
    assert told["chronovisor_log_head_position"] == 2
    assert told["chronovisor_refusals_total,vm-unknown"] == 1
    assert told["chronovisor_refusals_total,not-found"] == 1
    assert [name for name in told if name.startswith("chronovisor_build_info,")]


async def test_launches_are_timed_by_the_log(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    for tag in (INTENDED, "vm.stopped.v1", STARTED, INTENDED, STARTED):
        await supervisor.log.append([supervisor.event("vm/a", tag, {})])
    while (await scraped(client))["chronovisor_launch_seconds_count"] < 1:
        pass
    assert (await scraped(client))["chronovisor_launch_seconds_count"] == 1


class Past:
    """A log that ends; each event was recorded a second after the one before."""

    head = 0

    def __init__(self, *tags: str) -> None:
        self._tags = tags

    async def subscribe(self, after: int = 0) -> AsyncIterator[Record | CaughtUp]:
        """Yield its events."""
        for position, tag in enumerate(self._tags, start=after + 1):
            yield event(position, tag)


@pytest.mark.parametrize(
    ("tags", "count", "seconds"),
    [
        ([INTENDED, STARTED], 1, 1),
        ([INTENDED, "vm.qemu-spawned.v1", STARTED, INTENDED, STARTED], 2, 3),
        ([INTENDED, "vm.launch-ended.v1", INTENDED, STARTED], 1, 1),
        ([INTENDED, INTENDED, STARTED], 1, 1),
        ([INTENDED, "vm.failed.v1", STARTED], 0, 0),
        ([STARTED], 0, 0),
    ],
)
async def test_a_launch_is_timed_from_its_own_beginning(
    tags: list[str], count: int, seconds: int
) -> None:
    taken = Metrics()
    await taken.follow(Past(*tags))
    value = taken.registry.get_sample_value
    assert value("chronovisor_launch_seconds_count") == count
    assert value("chronovisor_launch_seconds_sum") == seconds


def test_what_launches_are_timed_by_are_events_of_the_log() -> None:
    assert {INTENDED, STARTED} | metrics.OVER <= set(TAGS.values())


async def test_appends_are_timed_where_they_become_durable(tmp_path: Path) -> None:
    taken = Metrics()
    storage = taken.timed(DiskStorage)(tmp_path)
    storage.prepare()
    file = storage.create("00.log")
    file.pwrite(b"x", 0)
    file.fdatasync()
    file.close()
    assert taken.registry.get_sample_value("chronovisor_log_append_seconds_count") == 1


async def test_the_document_describes_what_is_served(client: httpx.AsyncClient) -> None:
    document: Json = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert schemas["Manifest"]["additionalProperties"] is False
    assert schemas["Manifest"]["required"] == ["name"]
    assert set(references(document)) <= {f"#/components/schemas/{name}" for name in schemas}
    for path, methods in document["paths"].items():
        for method in methods:
            asked = path.replace("{vm_id}", "nobody").replace("{sha256}", "0")
            if asked == "/v1/events":
                continue  # has no end
            answer = await client.request(method.upper(), asked)
            assert answer.status_code not in {404, 405} or answer.json()["reason"] == "vm-unknown"


def references(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for each in node for found in references(each)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for each in node.values() for found in references(each)]


async def test_a_log_line_of_a_request_says_whose_and_which_trace_it_is(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.failure = ValueError("a bug")
    seen: list[dict[str, object]] = []

    def see(_record: logging.LogRecord) -> bool:
        seen.append(get_contextvars())
        return True

    caplog.handler.addFilter(see)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    client.headers["traceparent"] = f"00-{trace}-00f067aa0ba902b7-01"
    try:
        assert (await submit(client)).status_code == 500
    finally:
        caplog.handler.removeFilter(see)
    assert {"principal": "token:default", "trace_id": trace} in seen
