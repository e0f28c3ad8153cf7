"""What is read from the machine once, when the daemon starts."""

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from supervisor.host.qemu_user import QemuUser

QEMU = "qemu-system-x86_64"
KVM = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")
MACHINE_ID = Path("/etc/machine-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HostFacts(msgspec.Struct, frozen=True):
    """The machine that QEMU runs on.

    ``qemu`` is empty when it is not installed; ``kvm_obstacle`` says in words why KVM cannot be
    used, and is empty when it can. ``machine`` names this installation of the system, and is empty
    when it has no name.
    """

    boot_id: str
    qemu: str
    kvm_obstacle: str
    machine: str = ""


def read_facts(qemu_user: QemuUser | None = None) -> HostFacts:
    """Read this machine's facts; QEMU runs as ``qemu_user``, or as the daemon's own user."""
    return HostFacts(
        boot_id=BOOT_ID.read_text().strip(),
        qemu=os.path.abspath(qemu) if (qemu := shutil.which(QEMU)) else "",
        kvm_obstacle=kvm_obstacle(KVM, CPUINFO.read_text(), qemu_user),
        machine=machine_name(MACHINE_ID),
    )


def machine_name(path: Path) -> str:
    """Return a name of the machine that gives away nothing of its id, as machine-id(5) asks for."""
    try:
        machine_id = path.read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"chronovisor\0" + machine_id).hexdigest()[:16] if machine_id else ""


def kvm_obstacle(device: Path, cpuinfo: str, user: QemuUser | None = None) -> str:
    """Return why KVM cannot work here, or nothing.

    The device alone proves little: containers are often given one on a CPU without the extensions.
    """
    if not device.exists():
        return f"there is no {device}"
    if user and not user.may(os.R_OK | os.W_OK, device.stat()):
        return f"{device} may not be opened: add the user {user.name} to the group kvm"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened: add the daemon's user to the group kvm"
    if not {"vmx", "svm"} & _cpu_flags(cpuinfo):
        return "the CPU offers neither vmx nor svm"
    return ""


def _cpu_flags(cpuinfo: str) -> set[str]:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return set(value.split())
    return set()
