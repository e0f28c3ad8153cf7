"""Restart intensity: how many crashes are bad luck, and from when on they are a bug."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm.restart import INTENSITY, PERIOD_MS, add_restart


def test_the_restart_after_the_last_allowed_one_is_too_many() -> None:
    restarts: tuple[int, ...] | None = ()
    for at_ms in range(INTENSITY):
        assert restarts is not None
        restarts = add_restart(restarts, at_ms)
    assert restarts is not None
    assert add_restart(restarts, PERIOD_MS - 1) is None


def test_each_may_have_an_intensity_and_a_period_of_its_own() -> None:
    assert add_restart((0,), 9, intensity=2, period_ms=10) == (0, 9)
    assert add_restart((0,), 9, intensity=1, period_ms=10) is None
    assert add_restart((0,), 10, intensity=1, period_ms=10) == (10,)


def test_a_restart_stops_counting_after_the_period() -> None:
    assert add_restart((0,) * INTENSITY, PERIOD_MS) == (PERIOD_MS,)


@given(st.lists(st.integers(0, PERIOD_MS), max_size=50))
def test_slow_crashes_are_survived_for_ever(gaps_ms: list[int]) -> None:
    restarts: tuple[int, ...] | None = ()
    now_ms = 0
    for gap_ms in gaps_ms:
        now_ms += gap_ms + PERIOD_MS // INTENSITY
        assert restarts is not None
        restarts = add_restart(restarts, now_ms)
        assert restarts is not None
        assert len(restarts) <= INTENSITY
