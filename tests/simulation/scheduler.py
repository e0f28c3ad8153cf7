"""Trio with a seed: the same seed gives the same interleaving and the same time."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio._core import _run
from trio.testing import MockClock

T = TypeVar("T")

EPOCH_MS = 1_700_000_000_000


def run_seeded(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """Run ``main`` on a simulated clock, in the order that ``seed`` stands for.

    Trio keeps its scheduler's chance and this switch for pytest-trio and Hypothesis, and has no
    public name for either.
    """
    before = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r
    _schedule(True, random.Random(seed))
    try:
        return trio.run(main, clock=MockClock(autojump_threshold=0))
    finally:
        _schedule(*before)


def _schedule(in_order: bool, chance: random.Random) -> None:  # noqa: FBT001
    setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", in_order)  # noqa: B010 - it is Final to mypy
    _run._r = chance


class WallClock:
    """The host's clock: it follows the simulated time, and may be set to another."""

    def __init__(self) -> None:
        self._ahead_ms = EPOCH_MS

    def now_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return self._ahead_ms + int(trio.current_time() * 1000)

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self.now_ms() * 1_000_000

    def steady_ns(self) -> int:
        """Return what a clock says that nobody sets."""
        return int(trio.current_time() * 1e9)

    def jump(self, by_ms: int) -> None:
        """Set the clock, as an operator or NTP does."""
        self._ahead_ms += by_ms
