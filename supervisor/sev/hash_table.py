"""The table that QEMU puts beside the firmware with kernel-hashes=on, so that it is measured.

Only digests go into it, so that a host can build it without reading the files again. Source: QEMU's
docs/system/i386/amd-memory-encryption.
"""

import hashlib
from uuid import UUID

import msgspec

from supervisor.sev.octets import le16

TABLE_GUID = UUID("9438d606-4f22-4cc9-b479-a793d411fd21")
COMMAND_LINE_GUID = UUID("97d02dd8-bd20-4c94-aa78-e7714d36ab2a")
INITRD_GUID = UUID("44baf731-3a2f-4bd7-9af1-41e29169781d")
KERNEL_GUID = UUID("4de79437-abd2-427f-b835-d5b172d2045b")

ENTRY_HEADER_BYTES = 18
DIGEST_BYTES = 32
ALIGNMENT = 16


class DirectBoot(msgspec.Struct, frozen=True):
    """SHA-256 of what QEMU loads in the place of a boot loader."""

    kernel: bytes
    initrd: bytes
    command_line: bytes

    def hash_table(self) -> bytes:
        """Return 176 bytes."""
        entries = b"".join(
            _entry(guid, digest)
            for guid, digest in (
                (COMMAND_LINE_GUID, self.command_line),
                (INITRD_GUID, self.initrd),
                (KERNEL_GUID, self.kernel),
            )
        )
        table = _entry(TABLE_GUID, entries)
        return table.ljust(-(-len(table) // ALIGNMENT) * ALIGNMENT, b"\0")


def direct_boot(kernel: bytes, initrd: bytes, command_line: str) -> DirectBoot:
    """Hash what is booted; an initrd that is not there is an empty one."""
    text = command_line.encode() + b"\0"  # QEMU hashes the terminating zero, too
    return DirectBoot(*(hashlib.sha256(each).digest() for each in (kernel, initrd, text)))


def _entry(guid: UUID, data: bytes) -> bytes:
    return guid.bytes_le + le16(ENTRY_HEADER_BYTES + len(data)) + data
