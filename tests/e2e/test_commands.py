"""The commands of a client, on a VM that runs."""

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, qemu_pids

pytestmark = pytest.mark.guest


@pytest.fixture
def vm_id(daemon: Daemon, manifests: Manifests) -> str:
    patient = '[limits]\nstop_grace = "60s"\n'  # a guest on a busy machine obeys late
    vm_id: str = daemon.submit(manifests.shell("exec sleep 1000", patient))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    return vm_id


def test_pause_freezes_and_resume_lets_go(daemon: Daemon, vm_id: str) -> None:
    daemon.run("pause", vm_id)
    daemon.wait_for(vm_id, "vm.guest-paused.v1")
    assert daemon.json("show", vm_id)["phase"] == "paused"
    daemon.run("resume", vm_id)
    daemon.wait_for(vm_id, "vm.guest-resumed.v1")
    assert daemon.json("show", vm_id)["phase"] == "running"


@pytest.mark.fault("stop-does-not-last")
def test_reset_boots_the_guest_again_within_the_launch(daemon: Daemon, vm_id: str) -> None:
    before = qemu_pids(daemon.state_dir)
    daemon.run("reset", vm_id)
    daemon.wait_for(vm_id, "vm.guest-reset.v1")
    daemon.wait_for(vm_id, "vm.computation-started.v1", count=2)
    assert qemu_pids(daemon.state_dir) == before
    assert daemon.json("show", vm_id)["launch"] == 1


@pytest.mark.fault("stop-does-not-last")
def test_a_reboot_after_a_reset_is_the_guests_own_again(
    daemon: Daemon, manifests: Manifests
) -> None:
    # The first boot waits to be reset; the second finds the mark that the first left behind.
    script = 'disk=$(echo /sys/block/vd*/serial | tr " " "\\n" | xargs grep -l results)\n'
    script += "disk=/dev/$(basename $(dirname $disk))\n"
    script += "if dd if=$disk bs=1 skip=1024 count=4 | grep -q MARK; then reboot -f; fi\n"
    script += "printf MARK | dd of=$disk bs=1 seek=1024 conv=notrunc,fsync\n"
    script += 'echo "0.5 marked" >"$CHRONOVISOR_PROGRESS"; exec sleep 1000'
    vm_id = daemon.submit(manifests.shell(script))["vm_id"]
    daemon.wait_for(vm_id, "vm.progress-reported.v1")
    daemon.run("reset", vm_id)
    ended = daemon.wait_for(vm_id, "vm.failed.v1")
    assert ended["data"]["outcome"] == "guest-rebooted"


@pytest.mark.fault("grace-not-given")
def test_stop_gives_the_computation_its_grace(daemon: Daemon, vm_id: str) -> None:
    daemon.run("stop", vm_id)
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "stopped-by-client"
    finished = daemon.wait_for(vm_id, "vm.computation-finished.v1")
    assert finished["data"]["exit_code"] == 143


@pytest.mark.fault("secret-exposed")
def test_kill_ends_qemu_and_delete_removes_every_file(daemon: Daemon, vm_id: str) -> None:
    daemon.run("delete", vm_id, codes=(4,))
    daemon.run("kill", vm_id)
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "killed-by-client"
    assert (daemon.state_dir / "vms" / vm_id).exists()
    daemon.run("delete", vm_id)
    assert not (daemon.state_dir / "vms" / vm_id).exists()
    daemon.run("show", vm_id, codes=(5,))
