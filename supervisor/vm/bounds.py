"""What one QEMU may take of the host, computed from its manifest; the host layer enforces it."""

import msgspec

from supervisor.vm.layout import RESULT_HEADER_BYTES
from supervisor.vm.spec import KIB, MIB, Accelerator, Manifest

OVERHEAD_BYTES = 256 * MIB
"""Of QEMU beside the guest's memory: its code, devices, the boot files it keeps, thread stacks."""
TRANSLATION_BYTES = 1024 * MIB
"""What the translator may keep of translated code (QEMU's default on 64-bit hosts)."""
STACK_BYTES = 8 * MIB
"""What a thread reserves for its stack, though it uses little of it."""
TASKS = 128
"""Threads beside the virtual CPUs: up to 64 for files (QEMU's pool), one or two for each device."""
OPEN_FILES = 1024
"""Some 100 when idle, and four for each queue of each disk, of which 64 virtual CPUs have 64."""
FIRMWARE_VARS_BYTES = 8 * MIB
"""All flash that a PC has below 4 GiB, so that no file of variables is larger."""
FILE_BYTES_LEAST = 64 * KIB
"""Room for a few words on stderr whatever else is bounded."""


class QemuBounds(msgspec.Struct, frozen=True):
    """The most that one QEMU may have.

    ``memory_bytes``, ``tasks`` (threads) and ``cpus`` are kept where the host has cgroups;
    ``data_bytes`` (memory that is reserved, used or not), ``open_files``, ``file_bytes``, the
    largest file that it may write, and ``locked_bytes`` on every host. Only encrypted memory is
    locked: the processor finds it by its physical address.
    """

    memory_bytes: int
    data_bytes: int
    tasks: int
    cpus: int
    open_files: int
    file_bytes: int
    locked_bytes: int = 0


def bounds(manifest: Manifest, accel: str) -> QemuBounds:
    """Return what the QEMU of a manifest needs, and no more; ``accel`` is the one that was chosen.

    One CPU more than the guest's is for QEMU's own threads, which serve its disks and its channels.
    """
    shape, limits = manifest.vm, manifest.limits
    translation = TRANSLATION_BYTES if accel == Accelerator.TCG.value else 0
    flash = FIRMWARE_VARS_BYTES if shape.firmware_vars else 0
    results = limits.result_bytes + 2 * RESULT_HEADER_BYTES
    overhead = OVERHEAD_BYTES + STACK_BYTES * shape.cpus + translation
    return QemuBounds(
        memory_bytes=shape.memory_bytes + overhead,
        data_bytes=shape.memory_bytes + overhead + STACK_BYTES * TASKS,
        tasks=TASKS + shape.cpus,
        cpus=shape.cpus + 1,
        open_files=OPEN_FILES,
        file_bytes=max(results, limits.log_bytes, flash, FILE_BYTES_LEAST),
        locked_bytes=shape.memory_bytes + overhead if manifest.confidential else 0,
    )
