"""The time of one life of the daemon: the wall clock, but never behind what it has told before.

A wall clock that was set back would stop every deadline until it has caught up, be it by a day. So
time goes on from the latest moment that the log knows, at the rate of a clock that nobody sets.
"""

import time
from collections.abc import Callable

NS_PER_MS = 1_000_000


class Clock:
    """Time since the epoch, UTC."""

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._told = 0
        self._steady_then = steady_ns()

    def ns(self) -> int:
        """Return the time in nanoseconds."""
        steady = self._steady_ns()
        self._told = max(self._wall_ns(), self._told + steady - self._steady_then)
        self._steady_then = steady
        return self._told

    def ms(self) -> int:
        """Return the time in milliseconds."""
        return self.ns() // NS_PER_MS

    def not_before(self, known_ns: int) -> int:
        """Go on from a moment that has been; return how far the wall clock is behind it, in ns."""
        behind = max(0, known_ns - self.ns())
        self._told += behind
        return behind
