"""A gate before the disk, to hold commits back while a test looks."""

import threading
from collections import Counter


class Gate:
    """Lets operations pass while open; used as the `spoil` of a FaultyStorage."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._passed: Counter[str] = Counter()

    def __call__(self, operation: str) -> None:
        self._open.wait()
        self._passed[operation] += 1

    def shut(self) -> None:
        """Hold every operation from now on, and count from zero."""
        self._open.clear()
        self._passed.clear()

    def open(self) -> None:
        self._open.set()

    def passed(self, operation: str) -> int:
        return self._passed[operation]
