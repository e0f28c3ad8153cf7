"""Time that is never behind the log, whatever is done to the wall clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.clock import Clock

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


class Clocks:
    """A wall clock that may be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall = 1_000 * DAY
        self.steady = 7 * SECOND
        self.clock = Clock(lambda: self.wall, lambda: self.steady)

    def pass_(self, ns: int) -> None:
        self.wall += ns
        self.steady += ns


def test_it_is_the_wall_clock_when_nothing_is_wrong() -> None:
    clocks = Clocks()
    assert clocks.clock.not_before(clocks.wall - DAY) == 0
    clocks.pass_(SECOND)
    assert clocks.clock.ns() == clocks.wall
    clocks.wall += DAY
    assert clocks.clock.ms() == clocks.wall // 1_000_000


@pytest.mark.fault("log-from-the-future")
def test_a_log_from_the_future_is_gone_on_from_at_the_usual_rate() -> None:
    clocks = Clocks()
    future = clocks.wall + DAY
    assert clocks.clock.not_before(future) == DAY
    assert clocks.clock.ns() == future
    clocks.pass_(5 * SECOND)
    assert clocks.clock.ns() == future + 5 * SECOND, "a deadline is neither early nor stuck"
    clocks.wall += 2 * DAY
    assert clocks.clock.ns() == clocks.wall, "the wall clock has caught up"


def test_a_wall_clock_that_is_set_back_stops_no_deadline() -> None:
    clocks = Clocks()
    before = clocks.clock.ns()
    clocks.wall -= DAY
    clocks.pass_(60 * SECOND)
    assert clocks.clock.ns() == before + 60 * SECOND


@given(st.lists(st.tuples(st.integers(0, DAY), st.integers(-DAY, DAY))))
def test_it_never_runs_back_and_never_slower_than_time(jumps: list[tuple[int, int]]) -> None:
    clocks = Clocks()
    told = clocks.clock.ns()
    for passed, jump in jumps:
        clocks.pass_(passed)
        clocks.wall += jump
        now = clocks.clock.ns()
        assert now >= max(told + passed, clocks.wall)
        told = now
