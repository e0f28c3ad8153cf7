"""What QEMU is started with: word for word, and with awkward paths."""

import json

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
-pidfile /state/vms/iris/launch-1/qemu.pid
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
-kernel /images/vmlinuz
-initrd /images/initrd
-append console=ttyS0 quiet
-chardev socket,id=qmp,fd=3,server=on,wait=off
-mon chardev=qmp,mode=control
-chardev socket,id=monitor,fd=4,server=on,wait=off
-mon chardev=monitor,mode=readline
-chardev socket,id=console,fd=6,server=on,wait=off,\
logfile=/state/vms/iris/launch-1/console.log,logappend=on
-serial chardev:console
-device virtio-serial-pci
-chardev socket,id=agent,fd=5,server=on,wait=off
-device {{"driver":"virtserialport","chardev":"agent","name":"org.chronovisor.agent.0"}}
-device virtio-rng-pci
-blockdev {{"node-name":"inputs","driver":"raw","read-only":true,\
"file":{{"driver":"file","filename":"/state/vms/iris/launch-1/inputs.tar"}}}}
-device {{"driver":"virtio-blk-pci","drive":"inputs","serial":"inputs",\
"rerror":"report","werror":"report"}}
-blockdev {{"node-name":"results","driver":"raw","read-only":false,\
"file":{{"driver":"file","filename":"/state/vms/iris/launch-1/results.img"}}}}
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


def test_firmware_is_passed_only_where_there_is_some() -> None:
    firmware = msgspec.structs.replace(IMAGES, firmware=Image("/images/OVMF.fd", SHA256, 1))
    assert option(argv_of(VmShape(), images=firmware), "-bios") == "/images/OVMF.fd"
    assert "-bios" not in argv_of(VmShape())


def test_a_comma_in_a_path_starts_no_option() -> None:
    argv = argv_of(VmShape(), directory="/a,server=off/b c")
    console = argv[argv.index("-serial") - 1]
    assert "logfile=/a,,server=off/b c/console.log,logappend=on" in console
    disk = json.loads(next(word for word in argv if '"results"' in word))
    assert disk["file"]["filename"] == "/a,server=off/b c/results.img"


@given(st.text(min_size=1), st.integers(1, 1000), st.text(min_size=1), st.integers(1, 1000))
def test_no_two_launches_share_a_uuid(one: str, first: int, other: str, second: int) -> None:
    same = (one, first) == (other, second)
    assert (launch_uuid(one, first) == launch_uuid(other, second)) is same
