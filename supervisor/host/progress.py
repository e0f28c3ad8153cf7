"""Progress of a computation, told at most once a second; the newest always gets through."""

import trio

from supervisor.host.report import Report
from supervisor.vm.observations import AgentProgress

INTERVAL_S = 1.0
"""As often as the agent protocol lets a guest report; every report becomes an event in the log."""


class ProgressThrottle:
    """Holds the newest progress until it may be told."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._newest: AgentProgress | None = None
        self._arrived = trio.Event()

    def put(self, progress: AgentProgress) -> None:
        """Take the newest progress; what was not told before is forgotten."""
        self._newest = progress
        self._arrived.set()

    async def run(self) -> None:
        """Tell the newest progress, as often as may be, until cancelled."""
        while True:
            await self._arrived.wait()
            await self.flush()
            await trio.sleep(INTERVAL_S)

    async def flush(self) -> None:
        """Tell what has not been told, at once."""
        newest, self._newest = self._newest, None
        self._arrived = trio.Event()
        if newest is not None:
            await self._report(newest)
