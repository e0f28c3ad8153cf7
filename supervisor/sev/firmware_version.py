"""Versions of the secure processor's firmware, as QMP's query-sev tells them."""

import re

import msgspec

from supervisor.sev.errors import Malformed

BYTE_MAX = 255


class FirmwareVersion(msgspec.Struct, frozen=True, order=True):
    """Version of the secure processor's firmware; a later one compares as greater."""

    api_major: int
    api_minor: int
    build: int

    def __str__(self) -> str:
        return f"{self.api_major}.{self.api_minor}.{self.build}"

    def encode(self) -> bytes:
        """Return three bytes."""
        return bytes((self.api_major, self.api_minor, self.build))


def parse_firmware_version(text: str) -> FirmwareVersion:
    """Read MAJOR.MINOR.BUILD. Raises Malformed."""
    numbers = (
        [int(each) for each in text.split(".")] if re.fullmatch(r"\d+\.\d+\.\d+", text) else []
    )
    if not numbers or max(numbers) > BYTE_MAX:
        raise Malformed(f"{text!r} is no version of a firmware; it takes MAJOR.MINOR.BUILD")
    return FirmwareVersion(*numbers)
