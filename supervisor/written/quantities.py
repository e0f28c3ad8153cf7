"""Sizes, durations and policies in the spelling of people: "1.5G", "1h30m" and "nodbg".

A size is a whole number of bytes after conversion, and K, M, G, T are powers of 1024 whether or
not an "iB" or "B" follows, because that is what memory and disks of a VM come in. A duration always
has a unit, because a bare 10 could be seconds, minutes or milliseconds.
"""

import re
from fractions import Fraction
from itertools import pairwise
from typing import Self

from supervisor.sev import policy as sev_policy
from supervisor.sev.errors import Malformed

SIZE_TAKES = 'a size such as "256M", "1.5G", "512 KiB" or a number of bytes (K = 1024 bytes)'
POLICY_TAKES = 'a policy such as "nodbg,noks" or 0x3'
DURATION_TAKES = 'a duration such as "500ms", "2 s", "10m", "1h30m" or "2d"'

SIZE_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
DURATION_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}

# Fifteen digits hold every size and time that a host can have; more would only cost time.
_NUMBER = r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?)"
_SIZE = re.compile(_NUMBER + r"\s*(?:(?P<unit>[KMGT])(?:I?B)?|B)?", re.ASCII | re.IGNORECASE)
_DURATION_PART = re.compile(_NUMBER + r"\s*(?P<unit>ms|[dhms])\s*", re.ASCII)


class Inexact(ValueError):
    """Spelled like a quantity, but it is none; the message says what it is."""


class Quantity(int):
    """A number that remembers how it was written, so that a complaint can quote it."""

    written: str | int

    def __new__(cls, number: int, written: str | int | None = None) -> Self:
        quantity = super().__new__(cls, number)
        quantity.written = number if written is None else written
        return quantity


class Size(Quantity):
    """A number of bytes."""

    def __str__(self) -> str:
        return format_size(self)


class Duration(Quantity):
    """A number of milliseconds."""

    def __str__(self) -> str:
        return format_duration(self)


class Policy(Quantity):
    """What an owner forbids the host, as the secure processor takes it."""

    def __str__(self) -> str:
        return f"{int(self):#x}"


def parse_policy(written: str | int) -> Policy:
    """Return a policy; :class:`Inexact` says why ``written`` is none."""
    if isinstance(written, int):
        return Policy(written)
    try:
        return Policy(sev_policy.parse_policy(written), written)
    except Malformed as why:
        raise Inexact(str(why)) from None


def parse_size(written: str | int) -> Size:
    """Return a size in bytes; :class:`ValueError` says why ``written`` is none."""
    match = _SIZE.fullmatch(str(written).strip())
    if match is None:
        raise ValueError("not a size")
    unit = (match["unit"] or "").upper()
    return Size(_whole(Fraction(match["number"]) * SIZE_UNITS[unit], "bytes"), written)


def parse_duration(written: str) -> Duration:
    """Return a duration in milliseconds; :class:`ValueError` says why ``written`` is none."""
    text = written.strip()
    parts: list[tuple[Fraction, int]] = []
    at = 0
    while at < len(text):
        match = _DURATION_PART.match(text, at)
        if match is None:
            raise ValueError("not a duration")
        parts.append((Fraction(match["number"]), DURATION_UNITS[match["unit"]]))
        at = match.end()
    if not parts:
        raise ValueError("not a duration")
    if any(after >= before for (_, before), (_, after) in pairwise(parts)):
        raise Inexact("not in the order of its units, from large to small")
    number = sum(number * unit for number, unit in parts)
    return Duration(_whole(number, "milliseconds"), written)


def format_size(size: int) -> str:
    """Return the shortest exact spelling: 1536M, not 1.5G, so that nothing is rounded."""
    unit = max(
        (name for name, factor in SIZE_UNITS.items() if size and size % factor == 0),
        key=SIZE_UNITS.__getitem__,
        default="",
    )
    return f"{size // SIZE_UNITS[unit]}{unit}"


def format_duration(duration_ms: int) -> str:
    """Return an exact spelling such as 1h30m."""
    written = ""
    for unit, factor in DURATION_UNITS.items():
        count, duration_ms = divmod(duration_ms, factor)
        written += f"{count}{unit}" if count else ""
    return written or "0s"


def _whole(number: Fraction | int, unit: str) -> int:
    if number != int(number):
        raise Inexact(f"not a whole number of {unit}")
    return int(number)
