"""A secret for one measured launch: the table that the guest reads, and the packet round it.

Sources: SEV API specification, section 6.6 (LAUNCH_SECRET); the table is that of OVMF and of Linux'
efi_secret module, GUIDs in their mixed-endian form.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from uuid import UUID

import msgspec

from supervisor.sev.errors import Malformed, Unfit
from supervisor.sev.measurement import Measurement
from supervisor.sev.octets import le32
from supervisor.sev.session import NONCE_BYTES, TransportKeys, aes_ctr

TABLE_GUID = UUID("1e74f542-71dd-4d66-963e-ef4287ff173b")
ENTRY_HEADER_BYTES = 20
ALIGNMENT = 16

CONTEXT = b"\x01"
NO_FLAGS = 0

FIRMWARE_ROOM = 16 << 10
"""The secure processor takes no larger secret."""

OVMF_ROOM = 0xC00
"""The secret area of OVMF's AmdSev build; QEMU would write past its end."""


class Secret(msgspec.Struct, frozen=True):
    """One entry of the table."""

    guid: UUID
    data: bytes

    def __repr__(self) -> str:
        return f"Secret({self.guid}, ...)"  # tracebacks and logs show representations


class SecretPacket(msgspec.Struct, frozen=True):
    """What the host hands to the secure processor, and cannot read."""

    header: bytes
    ciphertext: bytes


def secret_table(secrets: Sequence[Secret]) -> bytes:
    """Return the table in plain text, padded to the secure processor's 16 bytes.

    Raises:
        Unfit: There is no secret, or one GUID has two.
    """
    if not secrets:
        raise Unfit("there is no secret to build a table of")
    if len({each.guid for each in secrets}) != len(secrets):
        raise Unfit("two secrets have the same GUID: the guest would find only one")
    entries = b"".join(
        each.guid.bytes_le + le32(ENTRY_HEADER_BYTES + len(each.data)) + each.data
        for each in secrets
    )
    table = TABLE_GUID.bytes_le + le32(ENTRY_HEADER_BYTES + len(entries)) + entries
    return table.ljust(-(-len(table) // ALIGNMENT) * ALIGNMENT, b"\0")


def parse_secret_table(table: bytes) -> list[Secret]:
    """Read a table as a guest does. Raises Malformed."""
    if table[:16] != TABLE_GUID.bytes_le:
        raise Malformed("the secret table does not begin with its GUID")
    entries = _sized(table)
    if any(table[ENTRY_HEADER_BYTES + len(entries) :]):
        raise Malformed("bytes follow the secret table")
    found: list[Secret] = []
    while entries:
        data = _sized(entries)
        found.append(Secret(UUID(bytes_le=entries[:16]), data))
        entries = entries[ENTRY_HEADER_BYTES + len(data) :]
    return found


def seal(
    table: bytes, keys: TransportKeys, measurement: Measurement, room: int = OVMF_ROOM
) -> SecretPacket:
    """Seal a table for the launch of this measurement, which must have been verified.

    Raises:
        Unfit: It is larger than the guest's ``room`` or the firmware's limit, both in bytes.
    """
    limit = min(room, FIRMWARE_ROOM)
    if len(table) > limit:
        raise Unfit(
            f"the secrets take {len(table)} bytes as a table, and there is room for {limit}"
        )
    return seal_with(table, keys, measurement, os.urandom(NONCE_BYTES))


def seal_with(
    table: bytes, keys: TransportKeys, measurement: Measurement, iv: bytes
) -> SecretPacket:
    """Seal with a given ``iv``, which must never be used with the same keys again."""
    ciphertext = aes_ctr(keys.tek, iv, table)
    mac = secret_mac(keys.tik, iv, ciphertext, measurement)
    return SecretPacket(le32(NO_FLAGS) + iv + mac, ciphertext)


def secret_mac(tik: bytes, iv: bytes, ciphertext: bytes, measurement: Measurement) -> bytes:
    """Return what binds a secret to the launch that it is for."""
    length = le32(len(ciphertext))
    signed = CONTEXT + le32(NO_FLAGS) + iv + length + length + ciphertext + measurement.mac
    return hmac.digest(tik, signed, hashlib.sha256)


def _sized(data: bytes) -> bytes:
    """Return what an entry at the beginning of ``data`` holds."""
    size = int.from_bytes(data[16:ENTRY_HEADER_BYTES], "little")
    if not ENTRY_HEADER_BYTES <= size <= len(data):
        raise Malformed("an entry of the secret table is longer than the table")
    return data[ENTRY_HEADER_BYTES:size]
