"""Bytes of exact length, and the texts that stand for them; each damage is refused by name.

All integers of these formats are little-endian.
"""

import base64
import binascii

from supervisor.sev.errors import Malformed


def exactly(data: bytes, size: int, what: str) -> bytes:
    """Return ``data``. Raises Malformed where it does not have ``size`` bytes."""
    if len(data) != size:
        raise Malformed(f"{what} has {len(data)} bytes, and must have {size}")
    return data


def zeros(data: bytes, what: str) -> None:
    """Raise Malformed where reserved bytes are in use: nobody could say what they mean."""
    if any(data):
        raise Malformed(f"{what} has bytes that are not zero where the format reserves them")


def little(data: bytes) -> int:
    """Return the unsigned integer that ``data`` holds."""
    return int.from_bytes(data, "little")


def le32(number: int) -> bytes:
    """Return 32 bits."""
    return number.to_bytes(4, "little")


def le16(number: int) -> bytes:
    """Return 16 bits."""
    return number.to_bytes(2, "little")


def from_base64(text: str | bytes, what: str) -> bytes:
    """Return what a base64 text stands for. Raises Malformed where it is damaged."""
    try:
        packed = text.encode("ascii") if isinstance(text, str) else text
        return base64.b64decode(b"".join(packed.split()), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Malformed(f"{what} is not base64, or a part of it is missing") from None


def from_hex(text: str, size: int, what: str) -> bytes:
    """Return what a hexadecimal text stands for. Raises Malformed."""
    try:
        return exactly(bytes.fromhex(text), size, what)
    except ValueError:
        raise Malformed(f"{what} is not hexadecimal") from None


def to_base64(data: bytes) -> str:
    """Return the base64 text of ``data`` on one line."""
    return base64.b64encode(data).decode("ascii")
