"""Words of guests and of QEMU, made fit to be shown: they may try to drive a terminal."""

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Return ``text`` with every control character but tab and newline replaced."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
