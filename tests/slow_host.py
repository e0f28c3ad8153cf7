"""A host that takes its time to find a VM, on a mock clock."""

import trio

from supervisor.actor import Report
from supervisor.vm.effects import Effect
from supervisor.vm.observations import Observation, Reattached, RunState
from tests.vm.states import EVIDENCE, PROCESS

ADOPTED = Reattached(1, PROCESS, RunState.RUNNING, EVIDENCE)


class SlowHost:
    """Finds a VM after ``takes_s``; ``began`` is when it was asked to."""

    def __init__(self, takes_s: float, seen: Observation = ADOPTED) -> None:
        self.began: list[float] = []
        self._takes_s = takes_s
        self._seen = seen

    async def perform(self, effect: Effect, report: Report) -> None:
        self.began.append(trio.current_time())
        await trio.sleep(self._takes_s)
        await report(self._seen)
