"""How often one principal may ask: for good, at once, and apart from all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.access.rates import BURST_S, PRINCIPALS, Rates
from supervisor.vm.commands import CommandDenied, DenyReason

PER_SECOND = 5
BURST = int(PER_SECOND * BURST_S)


def taken(rates: Rates, times: int, now_s: float, principal: str = "alice") -> int:
    """Return how many of some requests at one moment are taken."""
    count = 0
    for _ in range(times):
        try:
            rates.count("red", principal, now_s)
        except CommandDenied:
            continue
        count += 1
    return count


def test_a_burst_is_taken_and_then_so_many_a_second() -> None:
    rates = Rates(PER_SECOND)
    assert taken(rates, 100, 0.0) == BURST
    assert taken(rates, 100, 1.0) == PER_SECOND
    assert taken(rates, 100, 1000.0) == BURST


def test_one_principal_is_not_refused_for_another() -> None:
    rates = Rates(PER_SECOND)
    assert taken(rates, 100, 0.0) == BURST
    assert taken(rates, 100, 0.0, "bob") == BURST
    rates.count("blue", "alice", 0.0)
    with pytest.raises(CommandDenied) as denied:
        rates.count("red", "alice", 0.0)
    assert denied.value.reason is DenyReason.TOO_MANY_REQUESTS


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    rates = Rates(PER_SECOND)
    assert taken(rates, BURST - 1, 1000.0) == BURST - 1
    assert taken(rates, 100, 0.0) == 1
    assert taken(rates, 100, 1.0) == PER_SECOND


def test_no_limit_is_no_limit() -> None:
    assert taken(Rates(None), 10_000, 0.0) == 10_000


def test_who_is_remembered_has_a_bound() -> None:
    rates = Rates(PER_SECOND)
    for number in range(2 * PRINCIPALS):
        rates.count("red", str(number), 0.0)
    assert len(rates._buckets) == PRINCIPALS


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_window_of_time_has_more_than_a_burst_and_its_share(pauses: list[float]) -> None:
    rates, now_s, asked = Rates(PER_SECOND), 0.0, 0
    for pause in pauses:
        now_s += pause
        asked += taken(rates, 7, now_s)
    assert asked <= BURST + now_s * PER_SECOND + 1e-6
