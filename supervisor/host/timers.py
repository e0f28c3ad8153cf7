"""Deadlines of the wall clock, which may jump: looked at again at least once a minute."""

import time
from collections.abc import Callable

import trio

from supervisor.vm.observations import TimerKind

STEP_MAX_S = 60.0
"""Within a minute of a jump of the wall clock every timer knows of it."""


def wall_clock_ms() -> int:
    """Return the time in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Timers:
    """The armed timers of one VM, at most one of each kind for each launch."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._armed: dict[tuple[int, TimerKind], trio.CancelScope] = {}

    async def wait(
        self, launch: int, kind: TimerKind, deadline_ms: int, patience_ms: int = 0
    ) -> bool:
        """Wait for the deadline, and ``patience_ms`` at least.

        Return False when it was replaced or released before that.
        """
        key = (launch, kind)
        if (earlier := self._armed.get(key)) is not None:
            earlier.cancel()
        with trio.CancelScope() as scope:
            self._armed[key] = scope
            try:
                await trio.sleep(patience_ms / 1000)
                await self._sleep_until(deadline_ms)
            finally:
                if self._armed.get(key) is scope:
                    del self._armed[key]
        return not scope.cancelled_caught

    def release(self, launch: int) -> None:
        """Drop every timer of a launch."""
        for (armed_launch, _), scope in self._armed.items():
            if armed_launch == launch:
                scope.cancel()

    async def _sleep_until(self, deadline_ms: int) -> None:
        # Nothing tells of the wall clock's time but looking at it.
        while (left_ms := deadline_ms - self._now_ms()) > 0:  # noqa: ASYNC110
            await trio.sleep(min(left_ms / 1000, STEP_MAX_S))
        await trio.lowlevel.checkpoint()
