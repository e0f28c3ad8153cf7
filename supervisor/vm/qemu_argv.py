"""A manifest and the files of one launch -> QEMU's argument vector. Pure, so it can be recorded.

Options go as JSON where QEMU takes them (qemu-system(1), "JSON" forms of -device, -blockdev and
-object): in the ``key=value`` syntax a comma in a path would start another option.
"""

import json
import posixpath
import uuid

from supervisor.vm import layout
from supervisor.vm.layout import InheritedFd
from supervisor.vm.observations import LaunchImages
from supervisor.vm.spec import Machine, Manifest, VmShape

UUID_NAMESPACE = uuid.UUID("b1c7f0a6-0a52-5d0a-9c53-6e1c9a1f6f0e")
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
BASE_COMMAND_LINE = "console=ttyS0 quiet"


def launch_uuid(vm_id: str, launch: int) -> str:
    """Return the UUID that QEMU reports for this launch and for no other (RFC 9562, version 5)."""
    return str(uuid.uuid5(UUID_NAMESPACE, f"{vm_id}/{launch}"))


def qemu_argv(
    manifest: Manifest, *, vm_id: str, launch: int, directory: str, images: LaunchImages, accel: str
) -> tuple[str, ...]:
    """Return the argv that starts this launch, paused and without a process of its own making."""
    return (
        images.qemu.path,
        *_identity(vm_id, launch, directory),
        *_machine(manifest.vm, accel),
        *_boot(manifest.vm, images),
        *_channels(directory),
        *_disks(directory, images),
        *("-sandbox", SANDBOX),
    )


def _identity(vm_id: str, launch: int, directory: str) -> tuple[str, ...]:
    return (
        *("-name", f"chronovisor-{vm_id}-{launch}"),
        *("-uuid", launch_uuid(vm_id, launch)),
        *("-pidfile", posixpath.join(directory, layout.PIDFILE)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-S", "-no-shutdown", "-no-reboot", "-action", "panic=pause"),
    )


def _machine(shape: VmShape, accel: str) -> tuple[str, ...]:
    # q35 needs neither USB nor a graphics card here; what is absent cannot be attacked.
    smm = ",smm=off" if shape.machine is Machine.Q35 else ""
    return (
        *("-machine", f"{shape.machine.value},accel={accel},usb=off,graphics=off{smm}"),
        *("-cpu", "host" if accel == "kvm" else "max"),
        *("-smp", str(shape.cpus)),
        *("-m", f"{shape.memory_bytes}B"),
        *("-device", "pvpanic"),
    )


def _boot(shape: VmShape, images: LaunchImages) -> tuple[str, ...]:
    firmware = ("-bios", images.firmware.path) if images.firmware else ()
    return (
        *firmware,
        *("-kernel", images.kernel.path),
        *("-initrd", images.initrd.path),
        *("-append", f"{BASE_COMMAND_LINE} {shape.command_line}".rstrip()),
    )


def _channels(directory: str) -> tuple[str, ...]:
    # wait=off is implied for the monitors but not for the agent and the console.
    console_log = posixpath.join(directory, layout.CONSOLE_LOG).replace(",", ",,")
    return (
        *("-chardev", f"socket,id=qmp,fd={InheritedFd.QMP},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=monitor,fd={InheritedFd.MONITOR},server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=readline"),
        "-chardev",
        f"socket,id=console,fd={InheritedFd.CONSOLE},server=on,wait=off,"
        f"logfile={console_log},logappend=on",
        *("-serial", "chardev:console"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=agent,fd={InheritedFd.AGENT},server=on,wait=off"),
        "-device",
        _json({"driver": "virtserialport", "chardev": "agent", "name": layout.AGENT_PORT}),
        *("-device", "virtio-rng-pci"),
    )


def _disks(directory: str, images: LaunchImages) -> tuple[str, ...]:
    results = posixpath.join(directory, layout.RESULTS_DISK)
    return (
        *_disk(layout.INPUTS_SERIAL, images.inputs.path, read_only=True),
        *_disk(layout.RESULTS_SERIAL, results, read_only=False),
    )


def _disk(serial: str, path: str, *, read_only: bool) -> tuple[str, ...]:
    file = {"driver": "file", "filename": path}
    node = {"node-name": serial, "driver": "raw", "read-only": read_only, "file": file}
    # Errors go to the guest, whose computation fails, where the default would pause it for ever.
    errors = {"rerror": "report", "werror": "report"}
    device = {"driver": "virtio-blk-pci", "drive": serial, "serial": serial, **errors}
    return ("-blockdev", _json(node), "-device", _json(device))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
