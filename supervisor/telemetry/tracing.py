"""Follows the log, and sends the spans that end from now on.

The log is the queue: a collector that is slow is sent later what the log holds, and nobody waits
for it. One that is dead costs a line in the daemon's log now and then, and the spans of that time.
"""

import logging
from collections.abc import Callable, Sequence
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
        self._done = 0
        self._went_on = trio.Event()
        self._refused_at = -TELL_S
        self._is_taken = True

    async def follow(self) -> None:
        """Send spans until the log ends. A fault in here ends the traces, and nothing else."""
        try:
            await self._follow()
        except LogEnded:
            pass
        except Exception:
            logger.exception("no more traces are sent until the daemon is started again")
        self._done = 2**63
        self._went_on.set()

    async def conclude(self) -> None:
        """Wait until what the log holds now was sent; not long, and not for a dead collector."""
        head = self._log.head
        with trio.move_on_after(CONCLUDE_S):
            while self._done < head and self._is_taken:
                await self._went_on.wait()

    async def _follow(self) -> None:
        # From the beginning, so that a VM that runs on has its trace; what ended then was sent.
        lives = Lives()
        items = self._log.subscribe()
        while True:
            records = [item for item in await items.take() if not isinstance(item, CaughtUp)]
            spans = [span for record in records for span in lives.fold(record)]
            await self._send_all([span for span in spans if span.ended.position > self._since])
            self._go_on(records)

    def _go_on(self, records: Sequence[Record]) -> None:
        if records:
            self._done = records[-1].position
            self._went_on.set()
            self._went_on = trio.Event()

    async def _send_all(self, spans: Sequence[Span]) -> None:
        for first in range(0, len(spans), BATCH):
            await self._send_batch(spans[first : first + BATCH])

    async def _send_batch(self, batch: Sequence[Span]) -> None:
        for pause_s in (0.0, *PAUSES_S):
            await trio.sleep(pause_s)
            sent = await trio.to_thread.run_sync(self._send, batch, abandon_on_cancel=True)
            self._is_taken = sent
            if sent:
                return
            self._tell()
        self._lost(len(batch))

    def _tell(self) -> None:
        self._went_on.set()
        self._went_on = trio.Event()
        if trio.current_time() - self._refused_at >= TELL_S:
            self._refused_at = trio.current_time()
            logger.warning("the collector of traces takes none; it is tried again")


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
