"""The spans of the log are sent; a collector that is dead costs nothing but them."""

import logging
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from eventlog import EventLog, NewEvent, open_log
from supervisor.telemetry.spans import Span
from supervisor.telemetry.tracing import PAUSES_S, TELL_S, Tracing
from tests.telemetry.lives import COMPLETED, REQUEST, life


class Collector:
    """Takes spans, or refuses so many batches first."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.tries = 0
        self.taken: list[Span] = []
        self.lost = 0
        self.has_run = trio.Event()
        self.gave_up = trio.Event()

    def send(self, spans: Sequence[Span]) -> bool:
        self.tries += 1
        if self.refusals:
            self.refusals -= 1
            return False
        self.taken += spans
        if "run" in self.names:
            trio.from_thread.run_sync(self.has_run.set)
        return True

    def lose(self, count: int) -> None:
        self.lost += count
        self.gave_up.set()

    @property
    def names(self) -> set[str]:
        return {span.name for span in self.taken}


@pytest.fixture(name="log")
async def _log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with open_log(tmp_path / "log") as log:
        yield log


async def happen(log: EventLog, *tags: str) -> None:
    for record in life(*tags):
        new = NewEvent("vm/a", record.type, record.payload, record.event_id, correlation_id=REQUEST)
        await log.append([new])


async def test_what_ends_is_sent(log: EventLog, nursery: trio.Nursery) -> None:
    collector = Collector()
    tracing = Tracing(log, collector.send, collector.lose)
    nursery.start_soon(tracing.follow)
    await happen(log, *COMPLETED)
    await collector.has_run.wait()
    assert collector.names >= {"run", "prepare", "launch", "spawn", "process", "compute"}
    assert {span.context.trace_id for span in collector.taken} == {REQUEST}


async def test_what_began_before_a_restart_is_sent_whole_and_once(
    log: EventLog, nursery: trio.Nursery
) -> None:
    await happen(log, *COMPLETED[:5])
    collector = Collector()
    tracing = Tracing(log, collector.send, collector.lose)
    nursery.start_soon(tracing.follow)
    await happen(log, *COMPLETED[5:])
    await collector.has_run.wait()
    assert collector.names >= {"run", "launch", "process", "compute"}
    assert not collector.names & {"prepare", "spawn"}
    (run,) = (span for span in collector.taken if span.name == "run")
    assert run.begun.type == "vm.submitted.v1"


async def test_a_collector_that_comes_back_misses_nothing(
    log: EventLog, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    collector = Collector(refusals=len(PAUSES_S))
    tracing = Tracing(log, collector.send, collector.lose)
    nursery.start_soon(tracing.follow)
    await happen(log, *COMPLETED)
    await collector.has_run.wait()
    assert collector.lost == 0


async def test_a_collector_that_answers_late_delays_nobody(
    log: EventLog, nursery: trio.Nursery
) -> None:
    answers = threading.Event()

    def send(_spans: Sequence[Span]) -> bool:
        return answers.wait(60)

    nursery.start_soon(Tracing(log, send, lambda _count: None).follow)
    await happen(log, *COMPLETED)
    await happen(log, *COMPLETED)
    assert log.head == 2 * len(COMPLETED)
    assert not answers.is_set()
    answers.set()


async def test_a_dead_collector_is_told_of_now_and_then_and_not_waited_for(
    log: EventLog,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector(refusals=10**6)
    tracing = Tracing(log, collector.send, collector.lose)
    nursery.start_soon(tracing.follow)
    with caplog.at_level(logging.WARNING):
        await happen(log, *COMPLETED)
        await collector.gave_up.wait()
    assert collector.tries > len(PAUSES_S)
    assert 0 < len(caplog.records) <= 1 + trio.current_time() // TELL_S
    nursery.cancel_scope.cancel()
    tries = collector.tries
    with trio.CancelScope(shield=True):
        await tracing.conclude()
    assert collector.tries == tries


async def test_a_fault_of_its_own_ends_the_traces_and_nothing_else(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_spans: Sequence[Span]) -> bool:
        raise ValueError("a bug")

    await happen(log, COMPLETED[0])
    tracing = Tracing(log, broken, lambda _count: None)
    with caplog.at_level(logging.ERROR):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tracing.follow)
            await happen(log, *COMPLETED[1:])
    assert "no more traces are sent" in caplog.text


async def test_the_last_spans_are_sent_when_the_daemon_leaves(
    log: EventLog, mock_clock: MockClock
) -> None:
    collector = Collector()
    tracing = Tracing(log, collector.send, collector.lose)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tracing.follow)
        nursery.cancel_scope.cancel()
    await happen(log, *COMPLETED)
    await tracing.conclude()
    assert collector.names >= {"run", "launch", "process"}


async def test_a_collector_that_takes_not_even_the_last_spans_is_told_of(
    log: EventLog, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector(refusals=10**6)
    tracing = Tracing(log, collector.send, collector.lose)
    await happen(log, *COMPLETED)
    with caplog.at_level(logging.WARNING):
        await tracing.conclude()
    assert collector.tries == 1
    assert "takes none" in caplog.text
