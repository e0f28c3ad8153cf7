"""Firmware of our own making: nothing but the tables that OVMF ends with."""

import struct
from uuid import UUID

FOOTER = UUID("96b582de-1fb2-45f7-baea-a366c55a082d")
HASHES = UUID("7255371f-3a3b-4b04-927b-1da6efa8d454")
SECRET = UUID("4c2eb361-7d9b-4cc3-8081-127c90d3d294")
RESET = UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
METADATA = UUID("dc886566-984a-4798-a75e-5585a7bf67cc")

AMD_SEV = {
    HASHES: struct.pack("<II", 0x810C00, 0x400),
    SECRET: struct.pack("<II", 0x810000, 0xC00),
    RESET: struct.pack("<I", 0x80B004),
}
SECTIONS = ((0x800000, 0x9000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3))
HASHES_SECTION = (0x810000, 0x1000, 0x10)


def firmware(entries: dict[UUID, bytes] = AMD_SEV, filling: bytes = b"code") -> bytes:
    """One page of firmware with a table of these entries."""
    parts = b"".join(entry(guid, data) for guid, data in entries.items())
    table = parts + (len(parts) + 18).to_bytes(2, "little") + FOOTER.bytes_le
    return ended(filling, table + bytes(32))


def snp_firmware(*sections: tuple[int, int, int]) -> bytes:
    """Firmware with the description of pages that SEV-SNP measures."""
    described = b"".join(struct.pack("<III", *each) for each in sections)
    header = b"ASEV" + struct.pack("<III", 16 + len(described), 1, len(sections))
    place = 2048
    image = bytearray(firmware({**AMD_SEV, METADATA: place.to_bytes(4, "little")}))
    image[-place : -place + len(header + described)] = header + described
    return bytes(image)


def entry(guid: UUID, data: bytes) -> bytes:
    return data + (len(data) + 18).to_bytes(2, "little") + guid.bytes_le


def ended(filling: bytes, end: bytes, size: int = 4096) -> bytes:
    return (filling * size)[: size - len(end)] + end
