"""One computation each, in a real VM under a real daemon: how it ended, and the evidence."""

import hashlib
import io
import json
import os
import signal
import tarfile
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, qemu_pids

pytestmark = pytest.mark.guest


def test_a_computation_completes_and_its_result_is_what_the_guest_wrote(
    daemon: Daemon, manifests: Manifests, tmp_path: Path
) -> None:
    script = 'echo "sum $((19 + 23))"; echo 42 >"$CHRONOVISOR_RESULTS/answer"'
    vm = daemon.submit(manifests.shell(script), "--wait")
    assert (vm["phase"], vm["outcome"], vm["exit_code"]) == ("stopped", "completed", 0)

    archive = tmp_path / "result.tar"
    daemon.run("result", vm["vm_id"], "-o", archive)
    data = archive.read_bytes()
    assert len(data) == vm["result"]["size"]
    assert hashlib.sha256(data).hexdigest() == vm["result"]["sha256"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        answer = tar.extractfile("results/answer")
        printed = tar.extractfile("stdout")
        assert answer is not None
        assert printed is not None
        assert answer.read() == b"42\n"
        assert printed.read() == b"sum 42\n"


@pytest.mark.fault("runs-mixed-up")
def test_a_failing_algorithm_is_told_apart_and_its_result_is_kept(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm = daemon.submit(manifests.shell("echo why >&2; exit 3"), "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"], vm["exit_code"]) == ("failed", "computation-failed", 3)
    assert vm["result"]["size"] > 0


@pytest.mark.fault("end-unexplained")
def test_a_guest_that_panics_is_seen_at_once(daemon: Daemon, manifests: Manifests) -> None:
    script = "echo c >/proc/sysrq-trigger"
    vm = daemon.submit(manifests.shell(script), "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "guest-panicked")
    types = [event["type"] for event in daemon.events("--vm", vm["vm_id"])]
    assert "vm.guest-panicked.v1" in types


def test_a_guest_that_powers_off_is_no_success(daemon: Daemon, manifests: Manifests) -> None:
    vm = daemon.submit(manifests.shell("poweroff -f"), "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "guest-powered-off")


@pytest.mark.fault("stop-does-not-last")
def test_a_guest_that_reboots_is_told_apart_from_a_power_off(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm = daemon.submit(manifests.shell("reboot -f"), "--wait", codes=(1,))
    assert vm["outcome"] == "guest-rebooted"


@pytest.mark.fault("crash-unnoticed", "end-unexplained")
def test_a_qemu_that_is_killed_leaves_its_signal_as_evidence(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm = daemon.submit(manifests.shell("while :; do :; done"))
    spawned = daemon.wait_for(vm["vm_id"], "vm.qemu-spawned.v1")
    daemon.wait_for(vm["vm_id"], "vm.computation-started.v1")
    os.kill(spawned["data"]["process"]["pid"], signal.SIGKILL)
    exited = daemon.wait_for(vm["vm_id"], "vm.process-exited.v1")
    assert exited["data"]["evidence"]["signal"] == signal.SIGKILL
    ended = daemon.wait_for(vm["vm_id"], "vm.failed.v1")
    assert ended["data"]["outcome"] == "qemu-crashed"
    assert not Path(f"/proc/{spawned['data']['process']['pid']}").exists(), "not even a zombie"


def test_a_result_that_outgrows_its_disk_is_refused(daemon: Daemon, manifests: Manifests) -> None:
    script = 'dd if=/dev/zero of="$CHRONOVISOR_RESULTS/large" bs=1024 count=200'
    limits = '[limits]\nresult_size = "100K"\n'
    vm = daemon.submit(manifests.shell(script, limits), "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"], vm["result"]) == ("failed", "result-refused", None)


def test_a_python_script_without_the_layer_says_what_is_missing(
    daemon: Daemon, manifests: Manifests
) -> None:
    manifest = manifests.shell("")
    (manifest.parent / "algorithm.sh").write_text("#!/usr/bin/env python3\nprint(1)\n")
    manifest.write_text(manifest.read_text() + 'initrd = ["reference-base"]\n')
    vm = daemon.submit(manifest, "--wait", codes=(1,))
    assert vm["outcome"] == "computation-failed"
    assert vm["detail"] == "no python3 in this guest: add the python layer"


def test_the_time_to_live_ends_a_computation_and_keeps_what_it_wrote(
    daemon: Daemon, manifests: Manifests
) -> None:
    script = """echo early >"$CHRONOVISOR_RESULTS/early"
echo 0.5 early >"$CHRONOVISOR_PROGRESS"
exec sleep 1000"""
    for ttl_s in (12, 36, 84):  # until there is time for it on this machine
        limits = f'[limits]\nttl = "{ttl_s}s"\nstop_grace = "60s"\n'
        vm = daemon.submit(manifests.shell(script, limits), "--wait", codes=(1,))
        if daemon.events("--vm", vm["vm_id"], "--type", "vm.progress-reported.v1"):
            break
    assert (vm["phase"], vm["outcome"]) == ("stopped", "ttl-expired")
    assert vm["exit_code"] == 128 + signal.SIGTERM
    assert vm["result"]["size"] > 0


@pytest.mark.fault("agent-never-ready")
def test_a_guest_that_never_starts_the_algorithm_meets_its_launch_deadline(
    daemon: Daemon, manifests: Manifests
) -> None:
    # Without virtio-serial there is no agent: this guest waits in an empty command line's shell.
    more = 'command_line = "rdinit=/bin/sh"\n[limits]\nlaunch_deadline = "30s"\n'
    vm = daemon.submit(manifests.shell("true", more), "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "launch-deadline")


def test_a_kernel_that_is_gone_fails_the_launch_and_names_it(
    daemon: Daemon, manifests: Manifests
) -> None:
    manifest = manifests.shell("true")
    kernel = manifest.parent / "kernel"
    kernel.write_bytes(b"this is no kernel" * 100)
    manifest.write_text(manifest.read_text() + '[vm.kernel]\npath = "kernel"\n')
    vm = daemon.submit(manifest, "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "qemu-failed-to-start")
    assert "kernel" in vm["detail"]


@pytest.mark.fault("host-in-want")
def test_more_memory_than_the_host_can_give_fails_with_qemus_own_words(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm = daemon.submit(manifests.shell("true", 'memory = "1023G"\n'), "--wait", codes=(1,))
    assert vm["outcome"] == "qemu-failed-to-start"
    assert "memory" in vm["detail"]
    assert qemu_pids(daemon.state_dir) == []


def test_the_example_gives_the_known_answer(daemon: Daemon) -> None:
    example = Path(__file__).parents[2] / "examples" / "iris" / "iris.toml"
    vm = daemon.submit(example, "--wait")
    data = daemon.state_dir / "result.tar"
    daemon.run("result", vm["vm_id"], "-o", data)
    with tarfile.open(data) as tar:
        summary = tar.extractfile("results/summary.json")
        assert summary is not None
        computed = json.load(summary)
    expected = json.loads((example.parent / "expected.json").read_text())
    assert computed == expected
