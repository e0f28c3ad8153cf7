"""What others see of a daemon: a real Prometheus scrapes it, a collector takes its traces."""

import hashlib
import json
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.collector import collecting
from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import COMMAND_S, Daemon, Json
from tests.e2e.prometheus import PROMETHEUS, Samples, scraping

pytestmark = pytest.mark.guest

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
QUERIES = [query.strip() for query in re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)]
(CONFIG,) = re.findall(r"```yaml\n(global:.*?)```", PAGE, re.DOTALL)

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ALGORITHM = b"#!/bin/sh\necho 42 >$CHRONOVISOR_RESULTS/answer\n"


def address(daemon: Daemon) -> str:
    return f"{daemon.ready['http']['host']}:{daemon.ready['http']['port']}"


def call(daemon: Daemon, method: str, path: str, body: bytes, **headers: str) -> Json:
    token = (daemon.state_dir / "token").read_text().strip()
    request = urllib.request.Request(
        f"http://{address(daemon)}{path}",
        body,
        {"Authorization": f"Bearer {token}", **headers},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=COMMAND_S) as answer:
        told: Json = json.load(answer)
    return told


def submit_traced(daemon: Daemon, vm_id: str) -> None:
    digest = hashlib.sha256(ALGORITHM).hexdigest()
    call(daemon, "PUT", f"/v1/artifacts/{digest}", ALGORITHM)
    manifest = {"name": vm_id, "algorithm": {"sha256": digest}, "vm": {"accel": "tcg"}}
    headers = {"Content-Type": "application/json", "Idempotency-Key": vm_id}
    headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
    body = json.dumps(manifest).encode()
    call(daemon, "POST", f"/v1/computations?vm_id={vm_id}", body, **headers)


@pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus on this host")
def test_prometheus_answers_the_queries_of_the_guide(
    daemon: Daemon, manifests: Manifests, tmp_path: Path
) -> None:
    config = CONFIG.replace("127.0.0.1:9021", address(daemon)).replace("15s", "1s")
    config = config.replace("/var/lib/chronovisor/token", str(daemon.state_dir / "token"))
    with scraping(config, tmp_path) as prometheus:
        prometheus.ask("chronovisor_launch_seconds_count")  # from here on a rate can be told
        with pytest.raises(urllib.error.HTTPError):
            call(daemon, "GET", "/v1/vms/nobody", b"")
        vm_id = daemon.submit(manifests.shell("exit 0"))["vm_id"]
        daemon.wait_for(vm_id, "vm.stopped.v1")

        vms, launches, appends, refusals = QUERIES
        stopped = prometheus.ask(vms, lambda found: value(found, phase="stopped") == 1)
        assert value(stopped, phase="running") == 0
        assert 0 < value(prometheus.ask(launches, lambda found: value(found) > 0)) < COMMAND_S
        assert 0 < value(prometheus.ask(appends, lambda found: value(found) > 0)) < COMMAND_S
        assert value(prometheus.ask(refusals), reason="vm-unknown") == 1


def value(samples: Samples, **labels: str) -> float:
    """The value under these labels; not a number where there is none."""
    found = [each["value"][1] for each in samples if each["metric"] == labels]
    return float(found[0]) if found else float("nan")


def test_a_computation_is_one_trace_from_submit_to_exit_over_a_restart(
    stopped_daemon: Daemon,
) -> None:
    daemon = stopped_daemon
    with collecting() as (collector, url):
        daemon.start("--telemetry-traces", url)
        submit_traced(daemon, "answer")
        collector.wait_for("resume")
        assert daemon.end(signal.SIGTERM) == 0
        daemon.start("--telemetry-traces", url)
        daemon.wait_for("answer", "vm.stopped.v1")
        spans = {span.name: span for span in collector.wait_for("run")}

    steps = {"prepare", "launch", "spawn", "greet", "resume", "process"}
    assert spans.keys() >= {"run", *steps}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    run, launch = spans["run"], spans["launch"]
    assert run.parent_span_id.hex() == CALLER
    assert launch.parent_span_id == run.span_id
    assert spans["process"].parent_span_id == launch.span_id
    assert run.start_time_unix_nano <= launch.start_time_unix_nano
    assert spans["process"].end_time_unix_nano <= run.end_time_unix_nano
    assert (collector.services, collector.paths) == ({"chronovisor"}, {"/v1/traces"})

    events = [event for event in daemon.events() if event["stream"] == "vm/answer"]
    submitted, exited = events[0], events[-1]
    assert submitted["traceparent"] == f"00-{TRACE}-{CALLER}-01"
    assert f"trace {TRACE}" in daemon.run("log", "why", str(exited["position"]))
    facts = {fact.key: fact.value for fact in run.attributes}
    assert facts["chronovisor.first_position"].int_value == submitted["position"]


def test_without_a_collector_a_daemon_works_and_leaves_as_ever(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start("--telemetry-traces", "http://127.0.0.1:1", "--log-format", "json")
    vm_id = daemon.submit(manifests.shell("exit 0"))["vm_id"]
    daemon.wait_for(vm_id, "vm.stopped.v1")
    assert daemon.end(signal.SIGTERM) == 0
    told = [json.loads(line) for line in daemon.stderr().splitlines()]
    # Once, or once more for each minute that this takes.
    assert {each["message"] for each in told if "collector" in each["message"]} == {
        "the collector of traces takes none"
    }
