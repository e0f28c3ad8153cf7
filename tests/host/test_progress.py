"""The throttle of progress on a clock that the test turns."""

import pytest
import trio
import trio.testing

from supervisor.host.progress import ProgressThrottle
from supervisor.vm.observations import AgentProgress, Observation

LAUNCH = 3


class Telling:
    """A throttle that runs, and what it told."""

    def __init__(self) -> None:
        self.throttle = ProgressThrottle(self._report)
        self._told: list[Observation] = []

    def put(self, *fractions: float) -> None:
        for fraction in fractions:
            self.throttle.put(AgentProgress(LAUNCH, fraction, ""))

    async def told(self) -> list[float]:
        """Return all that was told by now."""
        await trio.testing.wait_all_tasks_blocked()
        return [seen.fraction for seen in self._told if isinstance(seen, AgentProgress)]

    async def _report(self, observation: Observation) -> None:
        self._told.append(observation)


@pytest.fixture
def telling(nursery: trio.Nursery) -> Telling:
    telling = Telling()
    nursery.start_soon(telling.throttle.run)
    return telling


async def test_the_first_is_told_at_once_and_the_newest_a_second_later(
    telling: Telling, mock_clock: trio.testing.MockClock
) -> None:
    telling.put(0.1)
    assert await telling.told() == [0.1]
    telling.put(0.2, 0.3)
    mock_clock.jump(0.875)
    assert await telling.told() == [0.1]
    telling.put(0.4)
    mock_clock.jump(0.125)
    assert await telling.told() == [0.1, 0.4]
    mock_clock.jump(10)
    assert await telling.told() == [0.1, 0.4], "nothing is told twice"


async def test_what_waits_is_told_at_once_before_the_end(
    telling: Telling, mock_clock: trio.testing.MockClock
) -> None:
    telling.put(0.1)
    await telling.told()
    telling.put(1.0)
    await telling.throttle.flush()
    assert await telling.told() == [0.1, 1.0]
