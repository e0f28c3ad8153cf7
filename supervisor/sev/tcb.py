"""Versions of what an SEV-SNP guest has to trust on a platform, packed into 8 bytes.

Source: SEV-SNP ABI specification, chapter 2 (TCB_VERSION); Turin has a layout of its own.
"""

import re

import msgspec

from supervisor.sev.errors import Malformed, Outdated
from supervisor.sev.octets import exactly

TCB_BYTES = 8
BYTE_MAX = 255
FAMILY_TURIN = 0x1A

LAYOUT = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
LAYOUT_TURIN = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}


class Tcb(msgspec.Struct, frozen=True):
    """The version of each part; fmc is there from Turin on, and 0 before."""

    bootloader: int = 0
    tee: int = 0
    snp: int = 0
    microcode: int = 0
    fmc: int = 0

    def __str__(self) -> str:
        return ",".join(f"{name}={getattr(self, name)}" for name in PARTS)


PARTS = Tcb.__struct_fields__


def parse_tcb(data: bytes, family: int | None) -> Tcb:
    """Read the packed form of a processor family; None before reports told it."""
    exactly(data, TCB_BYTES, "a TCB version")
    layout = LAYOUT_TURIN if family is not None and family >= FAMILY_TURIN else LAYOUT
    return Tcb(**{part: data[at] for part, at in layout.items()})


def read_tcb(text: str) -> Tcb:
    """Read "bootloader=3,tee=0,snp=8,microcode=115". Raises Malformed."""
    found: dict[str, int] = {}
    for written in text.split(","):
        match = re.fullmatch(r"([a-z]+)=(\d{1,3})", written.strip())
        if match is None or match[1] not in PARTS or int(match[2]) > BYTE_MAX:
            raise Malformed(f"{written!r} is no part of a TCB; there are {', '.join(PARTS)}")
        found[match[1]] = int(match[2])
    return Tcb(**found)


def demand_tcb(found: Tcb, floor: Tcb, which: str) -> None:
    """Raise Outdated where any part is older than the floor; the message names the first."""
    for part in PARTS:
        has, least = getattr(found, part), getattr(floor, part)
        if has < least:
            raise Outdated(f"the {which} TCB has {part} {has}, and at least {least} is demanded")
