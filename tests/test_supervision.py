"""Crashed actors come back from their logs; what keeps crashing ends the daemon, and so does a log
that takes no more.
"""

import logging

import pytest
import trio

from eventlog import LogClosed, LogPoisoned
from supervisor.supervision import TooManyRestarts, supervise
from supervisor.vm.restart import INTENSITY, PERIOD_MS


class Actor:
    """Something that crashes as often as it is told to, and what was done with it."""

    def __init__(self, *crashes: Exception) -> None:
        self._crashes = list(crashes)
        self.now_ms = 0
        self.lives = 0
        self.reloads = 0
        self.pace_ms = 1
        self.reload_crash: Exception | None = None

    async def run(self) -> None:
        self.lives += 1
        self.now_ms += self.pace_ms
        await trio.lowlevel.checkpoint()
        if self._crashes:
            raise self._crashes.pop(0)

    async def reload(self) -> None:
        self.reloads += 1
        await trio.lowlevel.checkpoint()
        if self.reload_crash is not None:
            raise self.reload_crash

    async def supervise(self) -> None:
        await supervise("iris", self.run, self.reload, lambda: self.now_ms, lambda: 812)


def bugs(count: int) -> list[Exception]:
    return [ExceptionGroup("a nursery", [ValueError("a bug")]) for _ in range(count)]


async def test_an_actor_that_ends_well_is_not_restarted() -> None:
    actor = Actor()
    await actor.supervise()
    assert (actor.lives, actor.reloads) == (1, 0)


async def test_each_crash_is_followed_by_a_life_from_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    actor = Actor(*bugs(INTENSITY))
    with caplog.at_level(logging.ERROR):
        await actor.supervise()
    assert (actor.lives, actor.reloads) == (INTENSITY + 1, INTENSITY)
    assert [record.getMessage() for record in caplog.records] == [
        "the actor of VM iris crashed and is restarted from its log"
    ] * INTENSITY
    assert all(record.exc_info for record in caplog.records)


async def test_an_actor_that_keeps_crashing_ends_the_daemon() -> None:
    actor = Actor(*bugs(100))
    with pytest.raises(TooManyRestarts, match="VM iris crashed more than 3 times in 60 s") as many:
        await actor.supervise()
    assert actor.lives == INTENSITY + 1
    assert isinstance(many.value.__cause__, ExceptionGroup)
    for word in ("position 812 of the log", "ValueError('a bug')", "lives on", "--set-aside iris"):
        assert word in str(many.value)


async def test_a_state_that_cannot_be_reloaded_is_a_crash_too() -> None:
    actor = Actor(*bugs(1))
    actor.reload_crash = ValueError("the log says nonsense")
    with pytest.raises(TooManyRestarts, match="the log says nonsense"):
        await actor.supervise()
    assert (actor.lives, actor.reloads) == (1, INTENSITY)


async def test_rare_crashes_are_survived_for_ever() -> None:
    actor = Actor(*bugs(100))
    actor.pace_ms = PERIOD_MS
    await actor.supervise()
    assert actor.lives == 101


@pytest.mark.parametrize(
    "end", [LogClosed(), LogPoisoned(OSError("EIO"))], ids=["closed", "poison"]
)
@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_a_log_that_takes_no_more_ends_the_daemon_at_once(end: Exception, depth: int) -> None:
    crash = end
    for _ in range(depth):
        crash = ExceptionGroup("a nursery", [ValueError("beside it"), crash])
    actor = Actor(crash)
    with pytest.raises(type(crash)):
        await actor.supervise()
    assert (actor.lives, actor.reloads) == (1, 0)


async def test_cancelling_is_no_crash() -> None:
    actor = Actor()
    with trio.CancelScope() as scope:
        scope.cancel()
        await actor.supervise()
    assert scope.cancelled_caught
    assert (actor.lives, actor.reloads) == (1, 0)
