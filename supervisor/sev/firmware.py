"""What a guest's firmware says of itself: where hashes and secrets go, where further CPUs start.

OVMF keeps a table of GUIDs that ends 32 bytes before the end of its image and is read backwards:
data, then a 16-bit length of the whole entry, then its GUID. Source: OVMF's ResetVector.
"""

from uuid import UUID

import msgspec

from supervisor.sev.errors import Malformed, Unfit
from supervisor.sev.octets import little

FOOTER_GUID = UUID("96b582de-1fb2-45f7-baea-a366c55a082d")
HASHES_GUID = UUID("7255371f-3a3b-4b04-927b-1da6efa8d454")
SECRET_GUID = UUID("4c2eb361-7d9b-4cc3-8081-127c90d3d294")
RESET_GUID = UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e")

FOOTER_FROM_END = 32
ENTRY_TAIL_BYTES = 18
ENTRIES_MAX = 64
"""OVMF has eight."""


class Area(msgspec.Struct, frozen=True):
    """A range of guest memory, in bytes."""

    base: int
    size: int


class Firmware(msgspec.Struct, frozen=True):
    """What the table says; None where there is no such entry, or one of size zero."""

    hashes: Area | None
    secret: Area | None
    reset_address: int | None

    def demand_hashes(self) -> None:
        """Raise Unfit where kernel, initrd and command line could not be measured."""
        if self.hashes is None:
            raise Unfit(
                "this firmware has no area for hashes: a kernel, initrd and command line would "
                "not be measured; use OVMF's AmdSev build"
            )

    def secret_room(self) -> int:
        """Return how many bytes of secrets there is room for. Raises Unfit where there is none."""
        if self.secret is None:
            raise Unfit("this firmware has no area for secrets; use OVMF's AmdSev build")
        return self.secret.size

    def demand_reset_address(self) -> int:
        """Return where CPUs after the first one start. Raises Unfit."""
        if self.reset_address is None:
            raise Unfit("this firmware does not say where CPUs start: it is not built for SEV-ES")
        return self.reset_address


def parse_firmware(image: bytes) -> Firmware:
    """Read an image's table, which may be missing. Raises Malformed where it is damaged."""
    table = _table(image)
    entry = table.get(RESET_GUID)
    return Firmware(
        _area(table.get(HASHES_GUID), "hashes"),
        _area(table.get(SECRET_GUID), "secrets"),
        little(entry[:4]) or None if entry else None,
    )


def _table(image: bytes) -> dict[UUID, bytes]:
    end = len(image) - FOOTER_FROM_END
    if end < ENTRY_TAIL_BYTES or image[end - 16 : end] != FOOTER_GUID.bytes_le:
        return {}
    rest = image[:end]
    size = little(rest[-ENTRY_TAIL_BYTES:-16])
    if not ENTRY_TAIL_BYTES <= size <= len(rest):
        raise Malformed("the firmware's table is longer than the firmware")
    rest = rest[-size:-ENTRY_TAIL_BYTES]
    found: dict[UUID, bytes] = {}
    while rest:
        size = little(rest[-ENTRY_TAIL_BYTES:-16])
        if not ENTRY_TAIL_BYTES <= size <= len(rest) or len(found) == ENTRIES_MAX:
            raise Malformed("the firmware's table has an entry of a wrong length")
        found[UUID(bytes_le=rest[-16:])] = rest[-size:-ENTRY_TAIL_BYTES]
        rest = rest[:-size]
    return found


def _area(entry: bytes | None, what: str) -> Area | None:
    if entry is None:
        return None
    if len(entry) != 8:
        raise Malformed(f"the firmware's entry for {what} has {len(entry)} bytes, and must have 8")
    area = Area(little(entry[:4]), little(entry[4:]))
    return area if area.base and area.size else None
