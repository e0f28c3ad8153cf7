"""A VM that ended is launched again: by its restart policy, or by a client."""

import os
import signal
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, Json, qemu_pids, running

pytestmark = pytest.mark.guest

RESTART = '[restart]\npolicy = "on-failure"\nmax_restarts = {restarts}\nbackoff = "{backoff}"\n'


def restarted(restarts: int, backoff: str) -> str:
    return RESTART.format(restarts=restarts, backoff=backoff)


def told(daemon: Daemon, vm_id: str, event_type: str) -> list[Json]:
    events = daemon.events("--vm", vm_id, "--type", event_type)
    return [event["data"] for event in events]


@pytest.mark.fault("runs-mixed-up")
def test_a_computation_that_fails_is_launched_again_until_its_policy_gives_up(
    daemon: Daemon, manifests: Manifests
) -> None:
    manifest = manifests.shell("echo try; exit 3", restarted(2, "100ms"))
    vm = daemon.submit(manifest, "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"], vm["launch"]) == ("failed", "computation-failed", 3)
    assert "not launched again after 2 restarts in 600 s" in vm["detail"]
    assert (vm["restarts"], vm["restart_at"]) == (2, None)
    assert vm["previous_launch"]["launch"] == 2
    ends = told(daemon, vm["vm_id"], "vm.launch-ended.v1")
    assert [(end["launch"], end["outcome"], end["restart"]) for end in ends] == [
        (1, "computation-failed", 1),
        (2, "computation-failed", 2),
    ]
    spawned = told(daemon, vm["vm_id"], "vm.qemu-spawned.v1")
    assert [each["launch"] for each in spawned] == [1, 2, 3]
    assert qemu_pids(daemon.state_dir) == []
    for launch in ("1", "2", "3"):
        log = daemon.run("console", vm["vm_id"], "--guest-log", "--launch", launch)
        assert log.startswith("try")


@pytest.mark.fault("stop-does-not-last")
def test_what_a_client_stops_is_not_launched_again(daemon: Daemon, manifests: Manifests) -> None:
    manifest = manifests.shell("exec sleep 1000", restarted(3, "100ms"))
    vm_id = daemon.submit(manifest)["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    daemon.run("stop", vm_id)
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "stopped-by-client"
    assert told(daemon, vm_id, "vm.launch-ended.v1") == []


def test_a_stopped_vm_is_started_again_and_gives_its_result(
    daemon: Daemon, manifests: Manifests, tmp_path: Path
) -> None:
    # The first time it waits to be killed; the second time long enough to be started twice.
    script = '[ "$CHRONOVISOR_LAUNCH" = 1 ] && exec sleep 1000; sleep 4; echo done >results/answer'
    vm_id = daemon.submit(manifests.shell(script))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    daemon.run("kill", vm_id)
    daemon.wait_for(vm_id, "vm.stopped.v1")
    started = daemon.json("start", vm_id)
    assert (started["outcome"], started["previous_launch"]["outcome"]) == (None, "killed-by-client")
    assert daemon.json("start", vm_id)["phase"] in ("defined", "launching", "running")
    daemon.wait_for(vm_id, "vm.stopped.v1", count=2)
    vm = daemon.json("show", vm_id)
    assert (vm["outcome"], vm["launch"], vm["exit_code"]) == ("completed", 2, 0)
    daemon.run("result", vm_id, "-o", tmp_path / "result.tar")
    assert b"done" in (tmp_path / "result.tar").read_bytes()
    assert told(daemon, vm_id, "vm.start-ordered.v1") == [{"launch": 2}]


@pytest.mark.fault("limits-in-memory")
def test_a_wait_for_the_next_launch_outlives_the_daemon(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    with running(daemon):
        vm_id = daemon.submit(manifests.shell("exit 3", restarted(1, "40s")))["vm_id"]
        due_ms = daemon.wait_for(vm_id, "vm.launch-ended.v1")["data"]["deadline_ms"]
        daemon.end(signal.SIGKILL)
        daemon.start()
        assert daemon.json("show", vm_id)["phase"] == "backoff"
        elapsed = daemon.wait_for(vm_id, "vm.backoff-elapsed.v1")
        assert datetime.fromisoformat(elapsed["time"]).timestamp() * 1000 >= due_ms
        daemon.wait_for(vm_id, "vm.failed.v1")
        vm = daemon.json("show", vm_id)
        assert len(told(daemon, vm_id, "vm.launch-ended.v1")) == 1
    assert (vm["launch"], vm["outcome"]) == (2, "computation-failed")


@pytest.mark.fault("stop-does-not-last")
def test_a_stop_ends_the_wait_for_the_next_launch(daemon: Daemon, manifests: Manifests) -> None:
    vm_id = daemon.submit(manifests.shell("exit 3", restarted(1, "1h")))["vm_id"]
    daemon.wait_for(vm_id, "vm.launch-ended.v1")
    assert daemon.json("stop", vm_id)["outcome"] == "stopped-by-client"
    daemon.run("delete", vm_id)
    daemon.wait_for(vm_id, "vm.deleted.v1")
    assert not (daemon.state_dir / "vms" / vm_id).exists()


def test_a_start_that_was_accepted_is_carried_out_although_the_daemon_dies(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    plan = stopped_daemon.state_dir.parent / "plan.toml"
    plan.write_text('[[kill_daemon_at_effect]]\nat = "before"\neffect = "PrepareLaunch"\nnth = 2\n')
    with running(stopped_daemon, "--fault-plan", str(plan)) as daemon:
        vm_id = daemon.submit(manifests.shell("exit 3"), "--wait", codes=(1,))["vm_id"]
        daemon.run("start", vm_id, codes=(0, 3))  # the daemon may die before its answer is sent
        daemon.end(signal.SIGKILL)
        daemon.start()
        daemon.wait_for(vm_id, "vm.failed.v1", count=2)
        assert daemon.json("show", vm_id)["launch"] == 2
        spawned = told(daemon, vm_id, "vm.qemu-spawned.v1")
    assert [each["launch"] for each in spawned] == [1, 2]


@pytest.mark.fault("runs-twice", "qemu-stopped")
def test_a_silent_vm_is_not_launched_again_whatever_its_policy(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    always = '[restart]\npolicy = "always"\nbackoff = "100ms"\n'
    with running(stopped_daemon) as daemon:
        vm_id = daemon.submit(manifests.shell("exec sleep 1000", always))["vm_id"]
        daemon.wait_for(vm_id, "vm.computation-started.v1")
        (pid,) = qemu_pids(daemon.state_dir)
        os.kill(pid, signal.SIGSTOP)
        daemon.end(signal.SIGKILL)
        daemon.start()
        daemon.wait_for(vm_id, "vm.contact-lost.v1")
        assert daemon.json("show", vm_id)["phase"] == "running"
        assert qemu_pids(daemon.state_dir) == [pid]
        os.kill(pid, signal.SIGCONT)
        daemon.wait_for(vm_id, "vm.adopted.v1")
        assert qemu_pids(daemon.state_dir) == [pid]
        assert told(daemon, vm_id, "vm.launch-ended.v1") == []
        assert len(told(daemon, vm_id, "vm.launch-intended.v1")) == 1


@pytest.mark.fault("stale-event", "limits-in-memory")
def test_the_time_to_live_of_a_launch_ends_no_later_one(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    limits = '[limits]\nttl = "8s"\nstop_grace = "1s"\n'
    with running(stopped_daemon) as daemon:
        vm_id = daemon.submit(manifests.shell("exec sleep 1000", limits))["vm_id"]
        daemon.wait_for(vm_id, "vm.guest-started.v1")
        daemon.run("kill", vm_id)
        daemon.wait_for(vm_id, "vm.stopped.v1")
        daemon.run("start", vm_id)
        daemon.wait_for(vm_id, "vm.guest-started.v1", count=2)
        first, second = (
            guest["ttl_deadline_ms"] for guest in told(daemon, vm_id, "vm.guest-started.v1")
        )
        ordered = daemon.wait_for(vm_id, "vm.stop-ordered.v1", count=2)
        assert (ordered["data"]["launch"], ordered["data"]["outcome"]) == (2, "ttl-expired")
        assert datetime.fromisoformat(ordered["time"]).timestamp() * 1000 >= second > first
