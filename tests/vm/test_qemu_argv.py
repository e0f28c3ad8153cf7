"""What QEMU is started with: word for word, and with awkward paths."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm.observations import Image, LaunchImages
from supervisor.vm.qemu_argv import launch_uuid, qemu_argv
from supervisor.vm.spec import GIB, Machine, VmShape
from tests.vm.states import DIRECTORY, IMAGES, MANIFEST, SHA256

GOLDEN = f"""\
/usr/bin/qemu-system-x86_64
-name chronovisor-iris-1
-uuid {launch_uuid("iris", 1)}
-nodefaults
-no-user-config
-display none
-S
-no-shutdown
-no-reboot
-action panic=pause
-machine q35,accel=tcg,usb=off,graphics=off,smm=off
-cpu max
-smp 1
-m 268435456B
-device pvpanic
-kernel /proc/self/fd/12
-initrd /proc/self/fd/13
-append console=ttyS0 quiet
-add-fd fd=9,set=9,opaque=/state/vms/iris/launch-1/console.log
-chardev socket,id=qmp,fd=3,server=on,wait=off
-mon chardev=qmp,mode=control
-chardev socket,id=monitor,fd=4,server=on,wait=off
-mon chardev=monitor,mode=readline
-chardev socket,id=console,fd=6,server=on,wait=off,logfile=/dev/fdset/9,logappend=on
-serial chardev:console
-device virtio-serial-pci
-chardev socket,id=agent,fd=5,server=on,wait=off
-device {{"driver":"virtserialport","chardev":"agent","name":"org.chronovisor.agent.0"}}
-device virtio-rng-pci
-add-fd fd=10,set=10,opaque=/state/vms/iris/launch-1/inputs.tar
-blockdev {{"node-name":"inputs","driver":"raw","read-only":true,\
"file":{{"driver":"file","filename":"/dev/fdset/10"}}}}
-device {{"driver":"virtio-blk-pci","drive":"inputs","serial":"inputs",\
"rerror":"report","werror":"report"}}
-add-fd fd=11,set=11,opaque=/state/vms/iris/launch-1/results.img
-blockdev {{"node-name":"results","driver":"raw","read-only":false,\
"file":{{"driver":"file","filename":"/dev/fdset/11"}}}}
-device {{"driver":"virtio-blk-pci","drive":"results","serial":"results",\
"rerror":"report","werror":"report"}}
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
"""


def argv_of(
    shape: VmShape,
    *,
    directory: str = DIRECTORY,
    images: LaunchImages = IMAGES,
    accel: str = "tcg",
) -> tuple[str, ...]:
    manifest = msgspec.structs.replace(MANIFEST, vm=shape)
    return qemu_argv(
        manifest, vm_id="iris", launch=1, directory=directory, images=images, accel=accel
    )


def option(argv: tuple[str, ...], name: str) -> str:
    return argv[argv.index(name) + 1]


def in_lines(argv: tuple[str, ...]) -> str:
    """One option a line, with its value behind it."""
    lines = argv[0]
    for word in argv[1:]:
        lines += f"\n{word}" if word.startswith("-") else f" {word}"
    return f"{lines}\n"


def test_the_argv_of_the_default_machine_is_known_word_for_word() -> None:
    assert in_lines(argv_of(VmShape())) == GOLDEN


@pytest.mark.parametrize(
    ("shape", "accel", "name", "value"),
    [
        (VmShape(machine=Machine.PC), "tcg", "-machine", "pc,accel=tcg,usb=off,graphics=off"),
        (VmShape(), "kvm", "-machine", "q35,accel=kvm,usb=off,graphics=off,smm=off"),
        (VmShape(), "kvm", "-cpu", "host"),
        (VmShape(cpus=3), "tcg", "-smp", "3"),
        (VmShape(memory_bytes=2 * GIB), "tcg", "-m", "2147483648B"),
        (VmShape(command_line="a=1"), "tcg", "-append", "console=ttyS0 quiet a=1"),
    ],
)
def test_the_shape_of_the_vm_shows(shape: VmShape, accel: str, name: str, value: str) -> None:
    assert option(argv_of(shape, accel=accel), name) == value


CODE = Image("/images/OVMF_CODE.fd", SHA256, 1)
VARS = Image("/state/vms/iris/firmware-vars.fd", SHA256, 1)


def test_firmware_is_passed_only_where_there_is_some() -> None:
    firmware = msgspec.structs.replace(IMAGES, firmware=CODE)
    assert option(argv_of(VmShape(), images=firmware), "-bios") == "/proc/self/fd/14"
    assert "-bios" not in argv_of(VmShape())


def test_firmware_with_variables_is_two_flash_chips_of_which_one_can_be_written() -> None:
    argv = argv_of(
        VmShape(), images=msgspec.structs.replace(IMAGES, firmware=CODE, firmware_vars=VARS)
    )
    assert "-bios" not in argv
    assert option(argv, "-machine").endswith(",pflash0=firmware,pflash1=firmware-vars")
    nodes = {node["node-name"]: node for node in blockdevs(argv)}
    assert nodes["firmware"]["read-only"] is True
    assert nodes["firmware"]["file"]["filename"] == "/dev/fdset/14"
    assert nodes["firmware-vars"]["read-only"] is False
    assert nodes["firmware-vars"]["file"]["filename"] == "/dev/fdset/15"


def blockdevs(argv: tuple[str, ...]) -> list[Any]:
    return [json.loads(value) for name, value in pairwise(argv) if name == "-blockdev"]


def test_a_watchdog_freezes_a_guest_that_hangs_so_that_it_is_told_from_a_reboot() -> None:
    argv = argv_of(VmShape(watchdog=True))
    assert ("-device", "i6300esb", "-action", "watchdog=pause") in windows(argv, 4)
    assert "i6300esb" not in argv_of(VmShape())


def windows(argv: tuple[str, ...], size: int) -> list[tuple[str, ...]]:
    return [argv[at : at + size] for at in range(len(argv))]


def test_a_comma_in_a_path_starts_no_option() -> None:
    argv = argv_of(VmShape(), directory="/a,server=off/b c")
    assert "fd=9,set=9,opaque=/a,,server=off/b c/console.log" in argv


def test_no_file_is_named_by_a_path_that_qemu_would_have_to_open() -> None:
    images = msgspec.structs.replace(IMAGES, firmware=CODE, firmware_vars=VARS)
    words = argv_of(VmShape(), images=images)[1:]
    named = [word for word in words if "/state" in word or "/images" in word]
    assert all(word.startswith("fd=") and ",opaque=/" in word for word in named)


@given(st.text(min_size=1), st.integers(1, 1000), st.text(min_size=1), st.integers(1, 1000))
def test_no_two_launches_share_a_uuid(one: str, first: int, other: str, second: int) -> None:
    same = (one, first) == (other, second)
    assert (launch_uuid(one, first) == launch_uuid(other, second)) is same
