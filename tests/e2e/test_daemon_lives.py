"""What a daemon leaves behind, and what the next one finds."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.awaited_word import AWAIT_WORD, give_word
from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, qemu_pids

pytestmark = pytest.mark.guest

MAGIC = b"CHRONOVISOR-RESULT"


@pytest.mark.fault("vms-lost-with-daemon")
def test_a_killed_daemon_finds_the_same_qemu_and_the_computation_finishes(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id = daemon.submit(manifests.shell(AWAIT_WORD))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    before = qemu_pids(daemon.state_dir)
    daemon.end(signal.SIGKILL)
    assert qemu_pids(daemon.state_dir) == before

    daemon.start()
    adopted = daemon.wait_for(vm_id, "vm.adopted.v1")
    assert [adopted["data"]["process"]["pid"]] == before
    give_word(_launch(daemon, vm_id))
    daemon.wait_for(vm_id, "vm.stopped.v1")
    vm = daemon.json("show", vm_id)
    assert (vm["outcome"], vm["exit_code"], vm["launch"]) == ("completed", 0, 1)
    spawned = [e for e in daemon.events("--vm", vm_id) if e["type"] == "vm.qemu-spawned.v1"]
    assert len(spawned) == 1


@pytest.mark.fault("vms-lost-with-daemon")
def test_a_guest_that_finished_while_nobody_watched_still_gives_its_result(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id = daemon.submit(manifests.shell(f"{AWAIT_WORD}; echo done"))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    daemon.end(signal.SIGKILL)
    give_word(_launch(daemon, vm_id))
    _wait_until_the_guest_rests(_launch(daemon, vm_id))
    daemon.start()
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "completed"
    assert daemon.json("show", vm_id)["result"]["size"] > 0


def _launch(daemon: Daemon, vm_id: str) -> Path:
    return daemon.state_dir / "vms" / vm_id / "launch-1"


def _wait_until_the_guest_rests(launch: Path) -> None:
    """Until the results disk has its header: the guest's last act before it says so."""
    with (launch / "results.img").open("rb", buffering=0) as disk:
        while os.pread(disk.fileno(), len(MAGIC), 0) != MAGIC:
            os.sched_yield()


@pytest.mark.fault("crash-unnoticed")
def test_a_qemu_that_died_while_nobody_watched_is_not_called_alive(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id = daemon.submit(manifests.shell("exec sleep 1000"))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    (pid,) = qemu_pids(daemon.state_dir)
    daemon.end(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    daemon.start()
    ended = daemon.wait_for(vm_id, "vm.failed.v1")
    assert ended["data"]["outcome"] == "qemu-crashed"


@pytest.mark.fault("vms-lost-with-daemon")
def test_sigterm_leaves_the_vms_and_stop_vms_ends_them(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    vm_id = daemon.submit(manifests.shell("exec sleep 1000"))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    assert daemon.end(signal.SIGTERM) == 0
    assert len(qemu_pids(daemon.state_dir)) == 1
    daemon.start("--stop-vms")
    daemon.wait_for(vm_id, "vm.adopted.v1")
    assert daemon.end(signal.SIGINT) == 0
    assert qemu_pids(daemon.state_dir) == []


@pytest.mark.fault("key-freezes-failure")
def test_one_idempotency_key_makes_one_vm_also_across_a_crash(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    manifest = manifests.shell("true")
    first = daemon.submit(manifest, "--idempotency-key", "k1")
    again = daemon.submit(manifest, "--idempotency-key", "k1")
    daemon.end(signal.SIGKILL)
    daemon.start()
    later = daemon.submit(manifest, "--idempotency-key", "k1")
    assert first["vm_id"] == again["vm_id"] == later["vm_id"]
    assert len(json.loads(daemon.run("list", "--json"))["vms"]) == 1
    daemon.run("submit", manifests.shell("false"), "--idempotency-key", "k1", codes=(4,))


def test_serve_says_what_is_wrong_and_leaves_nothing(stopped_daemon: Daemon) -> None:
    daemon = stopped_daemon
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = daemon.serve_and_fail("--grpc", f"127.0.0.1:{port}")
    assert code == 7
    assert str(port) in said
    assert len(said.splitlines()) <= 2
    assert not daemon.state_dir.exists()

    long = daemon.state_dir.with_name("x" * 120)
    code, said = Daemon(long, daemon.catalogue).serve_and_fail()
    assert code == 7
    assert "choose a shorter --state-dir" in said
    assert not long.exists()

    daemon.start()
    code, said = daemon.serve_and_fail()
    assert code == 7
    assert "stop it" in said


def test_a_state_directory_that_is_a_file_is_refused(stopped_daemon: Daemon) -> None:
    stopped_daemon.state_dir.write_text("")
    code, said = stopped_daemon.serve_and_fail()
    assert code == 2
    assert "is a file" in said


def test_a_host_without_qemu_says_what_to_install(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    stopped_daemon.more_environment["PATH"] = "/nonexistent"
    stopped_daemon.start()
    vm = stopped_daemon.submit(manifests.shell("true"), "--wait", codes=(1,))
    assert vm["outcome"] == "qemu-failed-to-start"
    assert "apt-get install qemu-system-x86" in vm["detail"]
