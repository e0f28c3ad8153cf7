"""Follows the log, and sends the spans that end from now on.

The log is the queue: a collector that is slow is sent later what the log holds, and nobody waits
for it. One that is dead costs a line in the daemon's log now and then, and the spans of that time.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib.metadata import version

import trio

from eventlog import CaughtUp, EventLog, LogEnded, Record
from supervisor.config import Telemetry
from supervisor.telemetry.spans import Lives, Span

logger = logging.getLogger(__name__)

Send = Callable[[Sequence[Span]], bool]
"""Blocks, in a thread; returns whether the spans were taken."""

BATCH = 512
"""Spans of one request, as OpenTelemetry's own sender has it: some 300 KB."""
PAUSES_S = (1.0, 5.0, 20.0)
"""Before a batch is sent again: a collector that is started anew is back by then."""
TELL_S = 60.0
"""A collector that is gone is told of at most so often."""
CONCLUDE_S = 2.0
"""What the last spans get to be sent, before the daemon leaves without."""


class Try(Enum):
    """What came of sending some spans."""

    TAKEN = "taken"
    REFUSED = "refused"


class Untraced:
    """What is followed where nobody asked for traces: nothing."""

    async def follow(self) -> None:
        """Do nothing."""

    async def conclude(self) -> None:
        """Do nothing."""


class Tracing:
    """The traces of one life of the daemon; ``lost`` counts spans that nobody took."""

    def __init__(self, log: EventLog, send: Send, lost: Callable[[int], None]) -> None:
        self._log = log
        self._send = send
        self._lost = lost
        self._since = log.head
        self._lives = Lives()
        self._folded = 0
        self._unsent: list[Span] = []
        self._last_try = Try.TAKEN
        self._told_at = -math.inf

    async def follow(self) -> None:
        """Send spans until the log ends. A fault in here ends the traces, and nothing else."""
        with _faults_told():
            # From the beginning, so that a VM that runs on has its trace; what ended was sent then.
            items = self._log.subscribe()
            while True:
                self._fold(await items.take())
                while batch := self._unsent[:BATCH]:
                    await self._send_again_and_again(batch)
                    del self._unsent[:BATCH]

    async def conclude(self) -> None:
        """Once nobody follows: send the last spans, if there was somebody to take them."""
        if self._last_try is Try.REFUSED:
            return
        with trio.move_on_after(CONCLUDE_S), _faults_told():
            self._fold([record async for record in self._log.read(self._folded)])
            while (batch := self._unsent[:BATCH]) and await self._try(batch) is Try.TAKEN:
                del self._unsent[:BATCH]
        if self._unsent:
            self._tell()

    def _fold(self, items: Iterable[Record | CaughtUp]) -> None:
        for item in items:
            if not isinstance(item, CaughtUp):
                ended = self._lives.fold(item)
                self._unsent += (span for span in ended if item.position > self._since)
                self._folded = item.position

    async def _send_again_and_again(self, batch: Sequence[Span]) -> None:
        for pause_s in (0.0, *PAUSES_S):
            await trio.sleep(pause_s)
            if await self._try(batch) is Try.TAKEN:
                return
            self._tell()
        self._lost(len(batch))

    async def _try(self, batch: Sequence[Span]) -> Try:
        is_taken = await trio.to_thread.run_sync(self._send, batch, abandon_on_cancel=True)
        self._last_try = Try.TAKEN if is_taken else Try.REFUSED
        return self._last_try

    def _tell(self) -> None:
        if trio.current_time() - self._told_at >= TELL_S:
            self._told_at = trio.current_time()
            logger.warning("the collector of traces takes none")


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except LogEnded:
        pass
    except Exception:
        logger.exception("no more traces are sent until the daemon is started again")


def open_tracing(
    telemetry: Telemetry, log: EventLog, node_id: str, lost: Callable[[int], None]
) -> Tracing | Untraced:
    """Return the traces that are wanted; none, where no collector is named."""
    if telemetry.traces is None:
        return Untraced()
    # It takes long to import, which only those wait for who want it.
    from supervisor.telemetry.otlp import Collector

    collector = Collector(telemetry.traces, version("chronovisor"), node_id)
    return Tracing(log, collector.send, lost)
