"""SIMULATED: an image with the tables by which OVMF's AmdSev build tells where things go.

No distribution's OVMF has such areas. This one is measured, and never run: SeaBIOS boots the guest.
"""

import struct
from uuid import UUID

FOOTER = UUID("96b582de-1fb2-45f7-baea-a366c55a082d")
AREAS = {
    UUID("7255371f-3a3b-4b04-927b-1da6efa8d454"): struct.pack("<II", 0x810C00, 0x400),
    UUID("4c2eb361-7d9b-4cc3-8081-127c90d3d294"): struct.pack("<II", 0x810000, 0xC00),
    UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e"): struct.pack("<I", 0x80B004),
}
"""Hashes of the kernel, the secret, and where CPUs start."""
IMAGE_BYTES = 64 * 1024
RESET_VECTOR_BYTES = 32


def firmware_image() -> bytes:
    """Return an image whose table ends where OVMF's does."""
    parts = b"".join(_entry(guid, data) for guid, data in AREAS.items())
    table = parts + (len(parts) + 18).to_bytes(2, "little") + FOOTER.bytes_le
    return (table + bytes(RESET_VECTOR_BYTES)).rjust(IMAGE_BYTES, b"\xf4")


def _entry(guid: UUID, data: bytes) -> bytes:
    return data + (len(data) + 18).to_bytes(2, "little") + guid.bytes_le
