"""Durations as Go writes them (time.Duration.String): "3m0s", "1h30m", "1.5s"."""

import re
from fractions import Fraction

GO_DURATION_TAKES = 'a duration such as "3m0s", "1h30m" or "500ms"'

_UNITS_MS = {
    "h": Fraction(3_600_000),
    "m": Fraction(60_000),
    "s": Fraction(1000),
    "ms": Fraction(1),
    "us": Fraction(1, 1000),
    "µs": Fraction(1, 1000),
    "μs": Fraction(1, 1000),
    "ns": Fraction(1, 1_000_000),
}
"""Both letters that look like a mu are Go's own."""

# Go's longest duration has seven digits of hours; more digits would only cost time.
_PART = re.compile(r"([0-9]{1,19}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|μs|ms|h|m|s)", re.ASCII)
_PARTS_MOST = 16
"""Go writes three; units may repeat, and nobody means more."""


def parse_go_duration(written: str) -> int:
    """Return a duration in milliseconds, a part of one left out. Raises ValueError."""
    total, at, parts = Fraction(0), 0, 0
    while at < len(written) and parts < _PARTS_MOST:
        match = _PART.match(written, at)
        if match is None:
            break
        total += Fraction(f"0{match[1]}".removesuffix(".")) * _UNITS_MS[match[2]]
        at, parts = match.end(), parts + 1
    if at < len(written) or not parts:
        raise ValueError(f"not {GO_DURATION_TAKES}")
    return int(total)
