"""What one field of a manifest may hold: the checks that several tables of rules share."""

import re
from collections.abc import Iterator

from supervisor.vm.commands import FieldViolation

NAME_CHARACTERS = 128
VIOLATIONS = 100
"""Of one request, found and told: more than anybody mends at a time, and little to write down."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_digest(field: str, sha256: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with a SHA-256 in ``field``."""
    if not _DIGEST.fullmatch(sha256):
        yield violation(field, sha256, "a SHA-256 as 64 lower-case hexadecimal digits")


def check_label(
    field: str, label: str, least: int = 0, most: int = NAME_CHARACTERS
) -> Iterator[FieldViolation]:
    """Yield what is wrong with words for people that stand in one line."""
    if not least <= len(label) <= most or not label.isprintable():
        length = f"{least} to {most}" if least else f"at most {most}"
        yield violation(field, label, f"{length} characters without control characters")


def check_text(field: str, text: str, limit: int) -> Iterator[FieldViolation]:
    """Yield what is wrong with text of at most ``limit`` bytes."""
    if _SURROGATE.search(text) or "\0" in text:
        yield violation(field, text, "Unicode text without NUL")
    elif len(text.encode()) > limit:
        yield FieldViolation(
            field, f"got {len(text.encode())} bytes of text; it takes at most {limit}"
        )


def check_count(field: str, count: int, least: int, greatest: int) -> Iterator[FieldViolation]:
    """Yield what is wrong with the number of entries of a list or table."""
    if not least <= count <= greatest:
        yield FieldViolation(field, f"got {count} entries; it takes {least} to {greatest}")


def violation(field: str, got: str, takes: str) -> FieldViolation:
    """Return that a field holds what it does not take."""
    return FieldViolation(field, f"got {quoted(got)}; it takes {takes}")


def quoted(text: str) -> str:
    """Return text of a stranger's choosing in a form that is short and safe to show."""
    return repr(text) if len(text) <= 64 else f"{text[:60]!r}... ({len(text)} characters)"
