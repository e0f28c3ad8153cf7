"""A stop that meets a guest, a QEMU and a daemon of which none helps."""

import os
import signal
import time
from datetime import datetime

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, Json, qemu_pids

pytestmark = pytest.mark.guest

DEAF = """trap '' TERM
echo 0.5 deaf >"$CHRONOVISOR_PROGRESS"
while :; do sleep 1; done"""
"""The reference guest listens to no power button, and this algorithm, once it says so, to no
signal."""


def started(daemon: Daemon, manifests: Manifests) -> tuple[str, int]:
    vm_id: str = daemon.submit(manifests.shell(DEAF))["vm_id"]
    daemon.wait_for(vm_id, "vm.progress-reported.v1")
    (pid,) = qemu_pids(daemon.state_dir)
    return vm_id, pid


def escalations(daemon: Daemon, vm_id: str) -> list[str]:
    events = daemon.events("--vm", vm_id, "--type", "vm.stop-escalated.v1")
    return [event["data"]["step"] for event in events]


def at_ms(event: Json) -> float:
    return datetime.fromisoformat(event["time"]).timestamp() * 1000


@pytest.mark.fault("grace-not-given", "guest-ignores-acpi")
def test_a_guest_that_ignores_every_request_is_ended_when_its_grace_is_over(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm_id, _ = started(daemon, manifests)
    asked_ms = time.time() * 1000
    daemon.run("stop", vm_id, "--grace", "2s")
    ordered = daemon.wait_for(vm_id, "vm.stop-ordered.v1")
    assert ordered["data"]["step"] == "ask-guest"
    over = daemon.wait_for(vm_id, "vm.stop-escalated.v1")
    # The deadline counts from the decision, which comes after the request.
    assert at_ms(over) >= ordered["data"]["deadline_ms"] >= int(asked_ms) + 2000
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "stopped-by-client"
    assert escalations(daemon, vm_id) == ["quit"]
    assert qemu_pids(daemon.state_dir) == []


@pytest.mark.fault("grace-not-given", "stop-does-not-last", "guest-ignores-acpi")
def test_a_stop_goes_down_to_sigkill_although_qemu_is_frozen_and_the_daemon_dies(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests)
    os.kill(pid, signal.SIGSTOP)
    daemon.run("stop", vm_id, "--grace", "2s")
    daemon.end(signal.SIGKILL)
    assert qemu_pids(daemon.state_dir) == [pid]
    daemon.start()
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "stopped-by-client"
    assert escalations(daemon, vm_id) == ["quit", "terminate", "kill"]
    assert qemu_pids(daemon.state_dir) == []
