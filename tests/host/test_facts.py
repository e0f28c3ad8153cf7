"""KVM counts as usable only where device, permission and CPU all agree."""

import os
from pathlib import Path

import pytest

from supervisor.host.facts import kvm_obstacle, read_facts

WITH_VMX = "processor\t: 0\nflags\t\t: fpu vme vmx sse\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu vme svm_lock vmxnet\n"


def test_a_missing_device_is_the_obstacle(tmp_path: Path) -> None:
    assert "there is no" in kvm_obstacle(tmp_path / "kvm", WITH_VMX)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open anything")
def test_a_device_that_may_not_be_opened_names_the_group(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0o000)
    assert "group kvm" in kvm_obstacle(device, WITH_VMX)


@pytest.mark.parametrize("cpuinfo", [WITHOUT, "", "flags\n"])
def test_a_cpu_without_the_extension_is_the_obstacle(tmp_path: Path, cpuinfo: str) -> None:
    (tmp_path / "kvm").touch()
    assert "neither vmx nor svm" in kvm_obstacle(tmp_path / "kvm", cpuinfo)


def test_device_and_cpu_together_have_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    assert kvm_obstacle(tmp_path / "kvm", WITH_VMX) == ""


def test_this_machine_has_a_boot_id() -> None:
    assert len(read_facts().boot_id) == 36
