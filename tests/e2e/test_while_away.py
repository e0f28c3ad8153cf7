"""What happens to a VM, its files and its host while no daemon is there, and what is made of it."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from supervisor.host.process import start_ticks
from tests.e2e.awaited_word import AWAIT_WORD, give_word
from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, Json, qemu_pids

pytestmark = pytest.mark.guest

WAITS = "exec sleep 1000"
SERVES = """
import os, socket, sys, time
os.chdir(sys.argv[1])
os.unlink("qmp.sock")
listener = socket.socket(socket.AF_UNIX)
listener.bind("qmp.sock")
listener.listen()
print("ready", flush=True)
time.sleep(600)
"""
ANOTHER_QEMU = """
import os, sys
os.chdir(sys.argv[1])
os.unlink("qmp.sock")
options = "-machine none -nodefaults -display none -qmp unix:qmp.sock,server=on,wait=off"
print("ready", flush=True)
os.execlp("qemu-system-x86_64", "qemu-system-x86_64", *options.split())
"""


def started(daemon: Daemon, manifest: Path) -> tuple[str, int]:
    """Submit a computation that runs; return its VM and its process."""
    vm_id: str = daemon.submit(manifest)["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    (pid,) = qemu_pids(daemon.state_dir)
    return vm_id, pid


def seconds_to_start(daemon: Daemon, manifests: Manifests) -> int:
    """How long a guest takes on this machine until its computation runs."""
    vm_id = daemon.submit(manifests.shell("true"), "--wait")["vm_id"]
    times = {
        event["type"]: datetime.fromisoformat(event["time"])
        for event in daemon.events("--vm", vm_id)
    }
    taken = times["vm.computation-started.v1"] - times["vm.guest-started.v1"]
    return math.ceil(taken.total_seconds())


def launch_directory(daemon: Daemon, vm_id: str) -> Path:
    return daemon.state_dir / "vms" / vm_id / "launch-1"


def killed(daemon: Daemon, vm_id: str) -> Json:
    """Kill a VM; return how it ended."""
    daemon.run("kill", vm_id)
    daemon.wait_for(vm_id, "vm.stopped.v1")
    vm: Json = daemon.json("show", vm_id)
    assert qemu_pids(daemon.state_dir) == []
    return vm


def away(daemon: Daemon, meanwhile: Callable[[], object]) -> None:
    """Kill the daemon, let something happen, and start it again."""
    daemon.end(signal.SIGKILL)
    meanwhile()
    daemon.start()


def delete(directory: Path) -> None:
    """Delete it although the daemon may be tidying it up."""
    subprocess.run(["rm", "-rf", str(directory)], check=True)


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        os.sched_yield()


@pytest.mark.fault("vms-lost-with-daemon")
def test_every_proof_is_in_the_log(stopped_daemon: Daemon, manifests: Manifests) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    ticks = start_ticks(pid)
    away(daemon, lambda: None)
    evidence = daemon.wait_for(vm_id, "vm.adopted.v1")["data"]["evidence"]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert evidence[:3] == [
        f"start time {ticks} of boot {boot_id}",
        f"launch lock held by process {pid}",
        f"pidfile locked by process {pid}",
    ]
    assert f"QMP socket served by process {pid}" in evidence
    named = [word.split()[-1] for word in evidence if "uuid" in word or "names" in word]
    assert len(named) == 2
    assert len(set(named)) == 1
    recovered = [e for e in daemon.events() if e["type"] == "host.vms-recovered.v1"]
    assert [(e["data"]["adopted"], e["data"]["silent"]) for e in recovered] == [(1, 0)]
    assert killed(daemon, vm_id)["outcome"] == "killed-by-client"


@pytest.mark.fault("end-unexplained")
@pytest.mark.parametrize(
    ("script", "outcome"),
    [("poweroff -f", "guest-powered-off"), ("echo c >/proc/sysrq-trigger", "guest-panicked")],
    ids=["powered off", "panicked"],
)
def test_a_guest_that_ended_while_nobody_watched_gives_its_cause(
    stopped_daemon: Daemon, manifests: Manifests, script: str, outcome: str
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, _ = started(daemon, manifests.shell(f"{AWAIT_WORD}; {script}"))
    directory = launch_directory(daemon, vm_id)

    def end() -> None:
        give_word(directory)
        until(lambda: b"paused" in asked(directory / "monitor.sock", b"info status\n"))

    away(daemon, end)
    ended = daemon.wait_for(vm_id, "vm.failed.v1")
    assert ended["data"]["outcome"] == outcome
    assert qemu_pids(daemon.state_dir) == []


def asked(monitor: Path, command: bytes) -> bytes:
    """Return what QEMU's monitor for people answers."""
    heard = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(monitor))
        connection.sendall(command)
        while heard.count(b"(qemu)") < 2:
            heard += connection.recv(4096)
    return heard


@pytest.mark.fault("orphan-after-spawn")
@pytest.mark.parametrize("pidfile", ["there", "gone"])
def test_a_qemu_whose_start_was_never_recorded_is_found_and_not_started_twice(
    stopped_daemon: Daemon, manifests: Manifests, tmp_path: Path, pidfile: str
) -> None:
    daemon = stopped_daemon
    plan = tmp_path / "plan.toml"
    plan.write_text('[[kill_daemon_at_effect]]\nat = "after"\neffect = "SpawnQemu"\n')
    daemon.start("--fault-plan", str(plan))
    vm_id = daemon.submit(manifests.shell("true"))["vm_id"]
    daemon.wait()
    until(lambda: bool(qemu_pids(daemon.state_dir)))  # the launcher has yet to become QEMU
    (pid,) = qemu_pids(daemon.state_dir)
    if pidfile == "gone":
        path = launch_directory(daemon, vm_id) / "qemu.pid"
        until(path.exists)
        path.unlink()
    daemon.start()
    adopted = daemon.wait_for(vm_id, "vm.adopted.v1")["data"]
    assert (adopted["launch"], adopted["process"]["pid"]) == (1, pid)
    daemon.wait_for(vm_id, "vm.stopped.v1")
    types = [event["type"] for event in daemon.events("--vm", vm_id)]
    assert types.count("vm.launch-intended.v1") == 1
    assert "vm.qemu-spawned.v1" not in types


@pytest.mark.fault("directory-deleted")
def test_a_directory_deleted_under_a_living_qemu_leaves_a_vm_that_can_be_killed(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    away(daemon, lambda: shutil.rmtree(daemon.state_dir / "vms" / vm_id))
    daemon.wait_for(vm_id, "vm.contact-lost.v1")
    shown = daemon.json("show", vm_id)
    assert (shown["phase"], shown["pid"]) == ("running", pid)
    assert shown["silent_since"]
    assert killed(daemon, vm_id)["outcome"] == "killed-by-client"
    daemon.run("delete", vm_id)


@pytest.mark.fault("directory-deleted")
def test_a_directory_deleted_under_the_daemons_eyes_harms_nobody(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm_id, _ = started(daemon, manifests.shell(WAITS))
    delete(daemon.state_dir / "vms" / vm_id)
    assert killed(daemon, vm_id)["outcome"] == "killed-by-client"
    other = daemon.submit(manifests.shell("true"), "--wait")
    delete(daemon.state_dir / "vms" / other["vm_id"])
    assert daemon.json("show", other["vm_id"])["outcome"] == "completed"
    daemon.run("console", other["vm_id"], codes=(0, 5))
    daemon.run("delete", other["vm_id"])


@pytest.mark.fault("pid-reused", "strangers-pidfile")
def test_a_pidfile_with_a_strangers_pid_names_nobody(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    pidfile = launch_directory(daemon, vm_id) / "qemu.pid"

    def replace() -> None:
        pidfile.unlink()
        pidfile.write_text(f"{os.getpid()}\n")

    away(daemon, replace)
    assert daemon.wait_for(vm_id, "vm.adopted.v1")["data"]["process"]["pid"] == pid
    assert killed(daemon, vm_id)["outcome"] == "killed-by-client"


@pytest.mark.fault("strangers-socket")
@pytest.mark.parametrize("program", [SERVES, ANOTHER_QEMU], ids=["a stranger", "another QEMU"])
def test_a_socket_that_another_process_took_over_is_not_believed(
    stopped_daemon: Daemon, manifests: Manifests, program: str
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    daemon.end(signal.SIGKILL)
    directory = launch_directory(daemon, vm_id)
    command = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout is not None
            stranger.stdout.readline()
            until((directory / "qmp.sock").exists)
            daemon.start()
            lost = daemon.wait_for(vm_id, "vm.contact-lost.v1")
            assert f"process {stranger.pid} serves the socket, not {pid}" in lost["data"]["detail"]
            assert killed(daemon, vm_id)["outcome"] == "killed-by-client"
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.fault("one-blocks-all", "qemu-stopped")
def test_a_stopped_qemu_is_noticed_and_delays_nobody_and_comes_back(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    os.kill(pid, signal.SIGSTOP)
    try:
        lost = daemon.wait_for(vm_id, "vm.contact-lost.v1")
        assert "did not answer" in lost["data"]["detail"]
        other = daemon.submit(manifests.shell("true"), "--wait")
        assert other["outcome"] == "completed"
        daemon.run("pause", vm_id)  # durable at once, carried out when it is back
        shown = daemon.json("show", vm_id)
        assert shown["phase"] == "running"
        assert shown["silent_since"][:23] == lost["time"][:23]
        assert "running, silent" in daemon.run("list")
    finally:
        os.kill(pid, signal.SIGCONT)
    daemon.wait_for(vm_id, "vm.adopted.v1")
    daemon.wait_for(vm_id, "vm.guest-paused.v1")
    assert daemon.json("show", vm_id)["silent_since"] is None


@pytest.mark.fault("vms-lost-with-daemon")
def test_a_daemon_that_ends_over_a_bug_leaves_its_vms_to_the_next(
    stopped_daemon: Daemon, manifests: Manifests, tmp_path: Path
) -> None:
    daemon = stopped_daemon
    plan = tmp_path / "plan.toml"
    crash = '[[crash_actor_at_effect]]\neffect = "ExecuteQmp"\nnth = 2\n'
    plan.write_text(crash)
    daemon.start("--fault-plan", str(plan))
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    daemon.run("pause", vm_id)  # the second command to QEMU: the actor crashes, and comes back
    daemon.wait_for(vm_id, "vm.adopted.v1")
    daemon.wait_for(vm_id, "vm.guest-paused.v1")
    assert "is restarted from its log" in daemon.stderr()
    daemon.end()

    bugs = "".join(
        f'[[crash_actor_at_effect]]\neffect = "Reattach"\nnth = {n}\n' for n in (1, 2, 3, 4)
    )
    plan.write_text(bugs)
    code, said = daemon.serve_and_fail("--fault-plan", str(plan))
    assert code == 7
    assert f"the actor of VM {vm_id} crashed" in said.splitlines()[-1]
    assert qemu_pids(daemon.state_dir) == [pid]

    daemon.start()
    daemon.wait_for(vm_id, "vm.adopted.v1", count=2)
    assert killed(daemon, vm_id)["outcome"] == "killed-by-client"


@pytest.mark.fault("qemu-stopped")
def test_a_stopped_qemu_can_be_killed(stopped_daemon: Daemon, manifests: Manifests) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    away(daemon, lambda: os.kill(pid, signal.SIGSTOP))
    assert killed(daemon, vm_id)["outcome"] == "killed-by-client"


@pytest.mark.fault("no-greeting")
def test_a_qemu_that_talks_to_somebody_else_is_waited_for(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id, pid = started(daemon, manifests.shell(WAITS))
    directory = launch_directory(daemon, vm_id)
    daemon.end(signal.SIGKILL)
    with socket.socket(socket.AF_UNIX) as somebody:
        somebody.connect(str(directory / "qmp.sock"))
        assert b"QMP" in somebody.recv(4096)
        daemon.start()
        lost = daemon.wait_for(vm_id, "vm.contact-lost.v1")
        assert "did not answer" in lost["data"]["detail"]
        assert b"running" in asked(directory / "monitor.sock", b"info status\n")
        other = daemon.submit(manifests.shell("true"), "--wait")
        assert other["outcome"] == "completed"
    adopted = daemon.wait_for(vm_id, "vm.adopted.v1")
    assert adopted["data"]["process"]["pid"] == pid


@pytest.mark.fault("limits-in-memory")
def test_a_time_to_live_that_runs_out_while_no_daemon_is_there_ends_the_vm_at_once(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    limits = '[limits]\nttl = "20s"\nstop_grace = "1s"\n'
    vm_id = daemon.submit(manifests.shell(WAITS, limits))["vm_id"]
    due_ms = daemon.wait_for(vm_id, "vm.guest-started.v1")["data"]["ttl_deadline_ms"]
    away(daemon, lambda: until(lambda: time.time() * 1000 > due_ms))
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "ttl-expired"
    adopted = daemon.wait_for(vm_id, "vm.adopted.v1")  # the daemon itself may be slow to start
    ordered = daemon.wait_for(vm_id, "vm.stop-ordered.v1")
    late = datetime.fromisoformat(ordered["time"]) - datetime.fromisoformat(adopted["time"])
    assert late < timedelta(seconds=16), "it has no new time to live"
    assert qemu_pids(daemon.state_dir) == []


def test_a_computation_that_finished_in_time_has_not_outlived_its_time(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    ttl_s = 10 + 4 * seconds_to_start(daemon, manifests)
    limits = f'[limits]\nttl = "{ttl_s}s"\nstop_grace = "1s"\n'
    vm_id = daemon.submit(manifests.shell("sleep 2; echo 42 >results/answer", limits))["vm_id"]
    due_ms = daemon.wait_for(vm_id, "vm.guest-started.v1")["data"]["ttl_deadline_ms"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    away(daemon, lambda: until(lambda: time.time() * 1000 > due_ms))
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert (ended["data"]["outcome"], ended["data"]["detail"]) == (
        "completed",
        "the computation finished, with exit code 0",
    )
