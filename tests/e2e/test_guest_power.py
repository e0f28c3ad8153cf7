"""Guests that hang, and guests that sleep."""

import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, running

pytestmark = pytest.mark.guest

ARM_WATCHDOG = r"""
# This kernel has no driver for the i6300esb, so its registers are written one by one
# (Intel 6300ESB I/O Controller Hub, chapter 16): two stages of half a second, then on.
device=$(dirname $(grep -l 0x25ab /sys/bus/pci/devices/*/device))
echo 1 >$device/enable
base=$(head -n 1 $device/resource | cut -d " " -f 1)
stage() {
    devmem $((base + 12)) 16 0x80
    devmem $((base + 12)) 16 0x86
    devmem $((base + $1)) 32 500
}
stage 0
stage 4
printf '\002' | dd of=$device/config bs=1 seek=104 conv=notrunc
exec sleep 1000
"""


def wake(monitor: Path) -> None:
    with socket.socket(socket.AF_UNIX) as human:
        human.settimeout(60)
        human.connect(str(monitor))
        wait_for_prompt(human)
        human.sendall(b"system_wakeup\n")
        wait_for_prompt(human)


def wait_for_prompt(human: socket.socket) -> None:
    said = b""
    while not said.endswith(b"(qemu) "):
        data = human.recv(4096)
        assert data, said
        said += data


@pytest.mark.fault("end-unexplained")
def test_a_guest_that_does_not_feed_its_watchdog_is_hung(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm = daemon.submit(manifests.shell(ARM_WATCHDOG, "watchdog = true\n"), "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "guest-hung")
    assert vm["detail"] == "the guest did not feed its watchdog"


@pytest.mark.fault("no-greeting")
def test_a_guest_that_sleeps_is_running_and_says_so(daemon: Daemon, manifests: Manifests) -> None:
    vm_id = daemon.submit(manifests.shell("echo mem >/sys/power/state"))["vm_id"]
    daemon.wait_for(vm_id, "vm.guest-suspended.v1")
    asleep = daemon.json("show", vm_id)
    assert (asleep["phase"], asleep["suspended_since"] is None) == ("running", False)
    wake(daemon.state_dir / "vms" / vm_id / "launch-1" / "monitor.sock")
    daemon.wait_for(vm_id, "vm.guest-woke.v1")
    daemon.wait_for(vm_id, "vm.stopped.v1")
    vm = daemon.json("show", vm_id)
    assert (vm["outcome"], vm["suspended_since"]) == ("completed", None)


def test_a_reset_that_was_accepted_is_carried_out_although_the_daemon_dies(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    plan = stopped_daemon.state_dir.parent / "plan.toml"
    # The first command lets the CPUs run; the second is the reset.
    plan.write_text('[[kill_daemon_at_effect]]\nat = "before"\neffect = "ExecuteQmp"\nnth = 2\n')
    with running(stopped_daemon, "--fault-plan", str(plan)) as daemon:
        vm_id = daemon.submit(manifests.shell("exec sleep 1000"))["vm_id"]
        daemon.wait_for(vm_id, "vm.computation-started.v1")
        daemon.run("reset", vm_id, codes=(0, 3))  # the daemon may die before its answer is sent
        daemon.end(signal.SIGKILL)
        daemon.start()
        daemon.wait_for(vm_id, "vm.reset-ordered.v1")
        daemon.wait_for(vm_id, "vm.guest-reset.v1")
        daemon.wait_for(vm_id, "vm.computation-started.v1", count=2)
