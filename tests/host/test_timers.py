"""Deadlines of the wall clock under a clock that jumps; Trio's own is driven by the test."""

from collections.abc import Callable

import trio
import trio.testing

from supervisor.host.timers import STEP_MAX_S, Timers
from supervisor.vm.observations import TimerKind


class WallClock:
    """A wall clock that goes with Trio's and can be set."""

    def __init__(self) -> None:
        self.offset_ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.offset_ms + int(trio.current_time() * 1000)


async def arm(
    nursery: trio.Nursery, timers: Timers, launch: int, kind: TimerKind, deadline_ms: int
) -> Callable[[], list[bool]]:
    fired: list[bool] = []

    async def wait() -> None:
        fired.append(await timers.wait(launch, kind, deadline_ms))

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    return lambda: fired


async def test_a_timer_fires_at_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    clock = WallClock()
    began = trio.current_time()
    assert await Timers(clock.now_ms).wait(1, TimerKind.TTL, clock.now_ms() + 3_600_000)
    assert abs(trio.current_time() - began - 3600) < 1


async def test_a_timer_that_is_armed_again_replaces_the_first(
    mock_clock: trio.testing.MockClock,
) -> None:
    clock = WallClock()
    timers = Timers(clock.now_ms)
    async with trio.open_nursery() as nursery:
        first = await arm(nursery, timers, 1, TimerKind.STOP, clock.now_ms() + 5_000)
        second = await arm(nursery, timers, 1, TimerKind.STOP, clock.now_ms() + 9_000)
        assert (first(), second()) == ([False], [])
        mock_clock.jump(9.1)
    assert second() == [True]


async def test_kinds_and_launches_are_apart_and_released_together(
    mock_clock: trio.testing.MockClock,
) -> None:
    clock = WallClock()
    timers = Timers(clock.now_ms)
    deadline = clock.now_ms() + 5_000
    async with trio.open_nursery() as nursery:
        stop = await arm(nursery, timers, 1, TimerKind.STOP, deadline)
        ttl = await arm(nursery, timers, 1, TimerKind.TTL, deadline)
        other = await arm(nursery, timers, 2, TimerKind.STOP, deadline)
        timers.release(1)
        await trio.testing.wait_all_tasks_blocked()
        assert (stop(), ttl(), other()) == ([False], [False], [])
        mock_clock.jump(5.1)
    assert other() == [True]


async def test_a_wall_clock_that_jumps_ahead_is_noticed_within_a_minute(
    mock_clock: trio.testing.MockClock,
) -> None:
    clock = WallClock()
    timers = Timers(clock.now_ms)
    async with trio.open_nursery() as nursery:
        fired = await arm(nursery, timers, 1, TimerKind.TTL, clock.now_ms() + 86_400_000)
        clock.offset_ms += 90_000_000
        mock_clock.jump(STEP_MAX_S)
    assert fired() == [True]


async def test_a_wall_clock_that_jumps_back_does_not_fire_early(
    mock_clock: trio.testing.MockClock,
) -> None:
    clock = WallClock()
    timers = Timers(clock.now_ms)
    async with trio.open_nursery() as nursery:
        fired = await arm(nursery, timers, 1, TimerKind.TTL, clock.now_ms() + 10_000)
        clock.offset_ms -= 30_000
        mock_clock.jump(10.1)
        await trio.testing.wait_all_tasks_blocked()
        assert fired() == []
        mock_clock.jump(30)
    assert fired() == [True]


async def test_a_deadline_that_is_past_waits_for_the_patience_that_it_is_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = WallClock()
    timers, began = Timers(clock.now_ms), trio.current_time()
    assert await timers.wait(1, TimerKind.TTL, clock.now_ms() - 5_000, patience_ms=3_000)
    assert 3 <= trio.current_time() - began < 4
