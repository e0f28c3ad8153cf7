"""What a QEMU may take of its host: enough for what it was given, and for little more."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm.bounds import FILE_BYTES_LEAST, QemuBounds, bounds
from supervisor.vm.spec import GIB, KIB, MIB, ByName, Limits, VmShape
from tests.vm.states import MANIFEST

MEASURED_TCG = {1: 1_356_440 * KIB - 256 * MIB, 8: 1_420_924 * KIB - 256 * MIB}
"""Data beside the guest's memory of a real QEMU 7.2 that has just started, by its virtual CPUs."""


def of(shape: VmShape, accel: str = "tcg", **limits: int) -> QemuBounds:
    manifest = msgspec.structs.replace(MANIFEST, vm=shape, limits=Limits(**limits))
    return bounds(manifest, accel)


@pytest.mark.parametrize("cpus", MEASURED_TCG)
def test_a_real_qemu_has_room_for_twice_what_it_starts_with(cpus: int) -> None:
    shape = VmShape(cpus=cpus, memory_bytes=256 * MIB)
    assert of(shape).data_bytes - shape.memory_bytes > 1.5 * MEASURED_TCG[cpus]


def test_memory_grows_with_the_guests_and_by_no_more() -> None:
    small, large = of(VmShape(memory_bytes=GIB)), of(VmShape(memory_bytes=4 * GIB))
    assert large.memory_bytes - small.memory_bytes == 3 * GIB


def test_only_the_translator_needs_room_for_its_translations() -> None:
    assert of(VmShape(), "tcg").memory_bytes - of(VmShape(), "kvm").memory_bytes == GIB


def test_a_guest_that_uses_all_its_cpus_leaves_one_to_qemu() -> None:
    assert of(VmShape(cpus=4)).cpus == 5


@given(st.integers(0, 2**40), st.integers(4096, 2**40))
def test_every_file_that_a_launch_needs_may_be_written_whole(result: int, log: int) -> None:
    most = of(VmShape(), result_bytes=result, log_bytes=log).file_bytes
    assert most >= result + 1024
    assert most >= log


def test_what_a_flood_can_write_is_small_where_results_are() -> None:
    assert of(VmShape(), result_bytes=4096, log_bytes=4096).file_bytes == FILE_BYTES_LEAST


def test_firmware_variables_have_room() -> None:
    shape = VmShape(firmware=ByName("code"), firmware_vars=ByName("vars"))
    assert of(shape, result_bytes=4096).file_bytes == 8 * MIB
