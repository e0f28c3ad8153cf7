"""Stdout holds the answer, stderr what is said on the way; this module owns both.

What came from a guest or a client is made printable before a terminal sees it, because a control
sequence can rewrite what a person reads.
"""

import shutil
import sys

import click
import msgspec

KIB = 1024
UNBOUNDED_WIDTH = 100_000
"""Of a pipe or a file: programs get lines whole. No value of ours is longer."""

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_json(value: object) -> None:
    """Print one JSON value on one line, at once, so that a reader of a stream waits for nothing."""
    click.echo(msgspec.json.encode(value).decode())


def note(message: str) -> None:
    """Say something to the person, on stderr."""
    click.echo(printable(message), err=True)


def printable(text: str) -> str:
    """Return ``text`` on one line, with every control character replaced."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def neutralised(text: str) -> str:
    """Return ``text`` with its lines kept and every other control character replaced.

    Carriage returns go: a serial console ends its lines with them, and alone they overwrite.
    """
    text = text.replace("\r", "")
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)


def human_size(size: int) -> str:
    """Return a size in about three digits: 1.5 MiB."""
    amount, unit = float(size), 0
    while amount >= KIB and unit < len(UNITS) - 1:
        amount, unit = amount / KIB, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if unit else f"{size} B"


def stdout_width() -> int:
    """Return the columns that answers have: COLUMNS, or the terminal's, or all that they need."""
    return shutil.get_terminal_size((UNBOUNDED_WIDTH, 0)).columns


def writes_to_terminal() -> bool:
    """Return whether a person sees stdout as it is written."""
    return sys.stdout.isatty()
