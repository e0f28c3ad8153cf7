"""A manifest and the files of one launch -> QEMU's argument vector. Pure, so it can be recorded.

QEMU finds its files by descriptors that it inherits (:class:`InheritedFd`), never by a path: a user
of its own cannot reach the state directory, and a file that was replaced after it was hashed is not
what runs. What QEMU reads once it opens by ``/proc/self/fd``; what it goes on using it keeps as a
set (``-add-fd``), where ``opaque`` tells people which file that is.

Options go as JSON where QEMU takes them (qemu-system(1), "JSON" forms of -device, -blockdev and
-object): in the ``key=value`` syntax a comma in a path would start another option.
"""

import json
import posixpath
import uuid
from collections.abc import Mapping

from supervisor.vm import layout
from supervisor.vm.confidential import SevPlatform
from supervisor.vm.guest_agent import Agent, ReferenceAgent
from supervisor.vm.layout import InheritedFd
from supervisor.vm.network_rules import whole_network
from supervisor.vm.observations import LaunchImages
from supervisor.vm.qemu_argv_confidential import ENCRYPTED_DEVICE, MACHINE_OPTION, guest_object
from supervisor.vm.spec import Machine, Manifest, Network, NetworkMode, VmShape

UUID_NAMESPACE = uuid.UUID("b1c7f0a6-0a52-5d0a-9c53-6e1c9a1f6f0e")
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
FORWARD_ADDRESS = "127.0.0.1"
"""Where forwards listen: whoever is let in from elsewhere is the operator's to say."""
BASE_COMMAND_LINE = "console=ttyS0 quiet"
CODE_FLASH = "firmware"
VARS_FLASH = "firmware-vars"


Device = Mapping[str, object]
"""Properties of a device; those of every virtio device are passed along as ``every``."""


def launch_uuid(vm_id: str, launch: int) -> str:
    """Return the UUID that QEMU reports for this launch and for no other (RFC 9562, version 5)."""
    return str(uuid.uuid5(UUID_NAMESPACE, f"{vm_id}/{launch}"))


def kernel_command_line(shape: VmShape) -> str:
    """Return what the guest's kernel is booted with, to the byte: launches are measured with it."""
    return f"{BASE_COMMAND_LINE} {shape.command_line}".rstrip()


def cpu_model(accel: str) -> str:
    """Return which CPUs a guest gets: all that the host or its emulation can do."""
    return "host" if accel == "kvm" else "max"


def qemu_argv(
    manifest: Manifest,
    *,
    vm_id: str,
    launch: int,
    directory: str,
    images: LaunchImages,
    accel: str,
    host_ports: tuple[int, ...] = (),
    platform: SevPlatform | None = None,
    manifest_digest: str = "",
) -> tuple[str, ...]:
    """Return the argv that starts this launch, paused and without a process of its own making.

    ``host_ports`` has one port for each forward of the manifest; ``platform`` and the digest, in
    hexadecimal, count for a confidential one.
    """
    every = ENCRYPTED_DEVICE if manifest.confidential else {}
    return (
        images.qemu.path,
        *_identity(vm_id, launch),
        *_machine(manifest, accel, images),
        *_encryption(manifest, platform, manifest_digest),
        *_firmware(images),
        *_boot(manifest.vm),
        *_channels(directory),
        *_agent(manifest.agent, every),
        *_virtio("virtio-rng-pci", every),
        *_disks(directory, images, every),
        *_network(whole_network(manifest), host_ports, every),
        *("-sandbox", SANDBOX),
    )


def _identity(vm_id: str, launch: int) -> tuple[str, ...]:
    return (
        *("-name", f"chronovisor-{vm_id}-{launch}"),
        *("-uuid", launch_uuid(vm_id, launch)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-S", "-no-shutdown", "-no-reboot", "-action", "panic=pause"),
    )


def _machine(manifest: Manifest, accel: str, images: LaunchImages) -> tuple[str, ...]:
    shape = manifest.vm
    # q35 needs neither USB nor a graphics card here; what is absent cannot be attacked.
    smm = ",smm=off" if shape.machine is Machine.Q35 else ""
    flash = f",pflash0={CODE_FLASH},pflash1={VARS_FLASH}" if images.firmware_vars else ""
    confidential = MACHINE_OPTION if manifest.confidential else ""
    options = f"accel={accel},usb=off,graphics=off{smm}{flash}{confidential}"
    return (
        *("-machine", f"{shape.machine.value},{options}"),
        *("-cpu", cpu_model(accel)),
        *("-smp", str(shape.cpus)),
        *("-m", f"{shape.memory_bytes}B"),
        *("-device", "pvpanic"),
        # Frozen, a hung guest can be told from one that rebooted; a dead watchdog costs nothing.
        *(("-device", "i6300esb", "-action", "watchdog=pause") if shape.watchdog else ()),
    )


def _encryption(
    manifest: Manifest, platform: SevPlatform | None, manifest_digest: str
) -> tuple[str, ...]:
    if manifest.confidential is None:
        return ()
    if platform is None:
        raise AssertionError("a confidential launch needs to know its platform")
    return ("-object", _json(guest_object(manifest.confidential, platform, manifest_digest)))


def _firmware(images: LaunchImages) -> tuple[str, ...]:
    code, variables = images.firmware, images.firmware_vars
    if code is None:
        return ()
    if variables is None:
        return ("-bios", _once(InheritedFd.FIRMWARE))
    return (
        *_file(CODE_FLASH, InheritedFd.FIRMWARE, code.path, read_only=True),
        *_file(VARS_FLASH, InheritedFd.FIRMWARE_VARS, variables.path, read_only=False),
    )


def _boot(shape: VmShape) -> tuple[str, ...]:
    return (
        *("-kernel", _once(InheritedFd.KERNEL)),
        *("-initrd", _once(InheritedFd.INITRD)),
        *("-append", kernel_command_line(shape)),
    )


def _channels(directory: str) -> tuple[str, ...]:
    # wait=off is implied for the monitors but not for the agent and the console.
    console_log = posixpath.join(directory, layout.CONSOLE_LOG)
    return (
        *_lent(InheritedFd.CONSOLE_LOG, console_log),
        *("-chardev", f"socket,id=qmp,fd={InheritedFd.QMP},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"socket,id=monitor,fd={InheritedFd.MONITOR},server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=readline"),
        "-chardev",
        f"socket,id=console,fd={InheritedFd.CONSOLE},server=on,wait=off,"
        f"logfile={_set(InheritedFd.CONSOLE_LOG)},logappend=on",
        *("-serial", "chardev:console"),
    )


def _agent(agent: Agent, every: Device) -> tuple[str, ...]:
    if not isinstance(agent, ReferenceAgent):
        return ()  # nobody here speaks with it, so it has nothing to speak into
    return (
        *_virtio("virtio-serial-pci", every),
        *("-chardev", f"socket,id=agent,fd={InheritedFd.AGENT},server=on,wait=off"),
        "-device",
        _json({"driver": "virtserialport", "chardev": "agent", "name": layout.AGENT_PORT}),
    )


def _disks(directory: str, images: LaunchImages, every: Device) -> tuple[str, ...]:
    results = posixpath.join(directory, layout.RESULTS_DISK)
    return (
        *_file(layout.INPUTS_SERIAL, InheritedFd.INPUTS, images.inputs.path, read_only=True),
        *_disk(layout.INPUTS_SERIAL, every),
        *_file(layout.RESULTS_SERIAL, InheritedFd.RESULTS, results, read_only=False),
        *_disk(layout.RESULTS_SERIAL, every),
    )


def _file(node: str, number: InheritedFd, path: str, *, read_only: bool) -> tuple[str, ...]:
    file = {"driver": "file", "filename": _set(number)}
    raw = {"node-name": node, "driver": "raw", "read-only": read_only, "file": file}
    return (*_lent(number, path), "-blockdev", _json(raw))


def _disk(serial: str, every: Device) -> tuple[str, ...]:
    # Errors go to the guest, whose computation fails, where the default would pause it for ever.
    errors = {"rerror": "report", "werror": "report"}
    return _virtio("virtio-blk-pci", every, {"drive": serial, "serial": serial, **errors})


def _once(number: InheritedFd) -> str:
    return f"/proc/self/fd/{number}"


def _set(number: InheritedFd) -> str:
    return f"/dev/fdset/{number}"


def _lent(number: InheritedFd, path: str) -> tuple[str, str]:
    # The path is for people only. QEMU takes a doubled comma for one.
    return ("-add-fd", f"fd={number},set={number},opaque={path.replace(',', ',,')}")


def _network(network: Network, host_ports: tuple[int, ...], every: Device) -> tuple[str, ...]:
    if network.mode is NetworkMode.NONE:
        return ()
    forwards = (
        f"hostfwd={forward.protocol.value}:{FORWARD_ADDRESS}:{port}-:{forward.guest_port}"
        for forward, port in zip(network.forwards, host_ports, strict=True)
    )
    restrict = "on" if network.mode is NetworkMode.RESTRICTED else "off"
    netdev = ",".join((f"user,id=net,restrict={restrict}", *forwards))
    # Nobody boots from this card, and its ROM is a package of its own on some systems.
    card = {"netdev": "net", "romfile": ""}
    return ("-netdev", netdev, *_virtio("virtio-net-pci", every, card))


def _virtio(driver: str, every: Device, own: Device | None = None) -> tuple[str, str]:
    device = {"driver": driver, **(own or {}), **every}
    return ("-device", _json(device) if len(device) > 1 else driver)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
