"""Appending: durable on return, whole or not at all, in one order for all."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from eventlog import (
    BatchTooLarge,
    EventLog,
    EventTooLarge,
    LogClosed,
    LogOptions,
    NewEvent,
    open_log,
    read_log,
    verify_log,
)
from eventlog.storage import DiskStorage
from tests.eventlog.gate import Gate
from tests.eventlog.memory_storage import FaultyStorage
from tests.eventlog.samples import event

OPTIONS = LogOptions(node_id="n", segment_bytes=64 * 1024, clock=lambda: 1_000)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with open_log(tmp_path / "log", OPTIONS) as opened:
        yield opened


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def gated(tmp_path: Path, gate: Gate) -> AsyncIterator[EventLog]:
    """A log whose commits wait for the gate."""
    options = msgspec.structs.replace(
        OPTIONS, storage=lambda path: FaultyStorage(DiskStorage(path), gate)
    )
    async with open_log(tmp_path / "log", options) as opened:
        try:
            yield opened
        finally:
            gate.open()


async def _append_all(log: EventLog, events: list[NewEvent]) -> None:
    async with trio.open_nursery() as nursery:
        for one in events:
            nursery.start_soon(log.append, [one])


async def test_an_event_must_stay_below_64_kib(tmp_path: Path) -> None:
    async with open_log(tmp_path / "log", LogOptions(segment_bytes=1024 * 1024)) as log:
        (largest,) = await log.append([event("fits", payload=bytes(65_400))])
        spare = 64 * 1024 - 1 - len(largest.raw)
        await log.append([event("fits", payload=bytes(65_400 + spare))])
        with pytest.raises(EventTooLarge):
            await log.append([event("small"), event("over!", payload=bytes(65_400 + spare))])
        assert (log.head, log.version("s")) == (2, 2)


async def test_a_batch_must_fit_into_one_segment(log: EventLog) -> None:
    with pytest.raises(BatchTooLarge):
        await log.append([event(str(n), payload=bytes(30_000)) for n in range(3)])
    assert log.head == 0
    await log.append([event(str(n), payload=bytes(30_000)) for n in range(2)])


async def test_time_never_runs_backwards(tmp_path: Path) -> None:
    ticks = iter([50, 50, 100, 40, 60])
    options = LogOptions(segment_bytes=4096, clock=lambda: next(ticks, 70))
    async with open_log(tmp_path / "log", options) as log:
        times = [(await log.append([event(str(n))]))[0].recorded_at for n in range(4)]
    assert times == [100, 100, 100, 100]
    async with open_log(tmp_path / "log", options) as log:
        assert (await log.append([event("later")]))[0].recorded_at == 100


async def test_leaving_the_block_commits_what_is_queued_and_ends_the_log(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery, open_log(tmp_path / "log", OPTIONS) as log:
        for n in range(50):
            nursery.start_soon(log.append, [event(str(n))])
        await wait_all_tasks_blocked()
    assert len(list(read_log(tmp_path / "log"))) == 50
    with pytest.raises(LogClosed):
        await log.append([event("late")])


async def test_segments_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    async with open_log(directory, LogOptions(segment_bytes=4096)) as log:
        for n in range(60):
            await log.append([event(str(n), payload=bytes(n * 10))])
    segments = list(verify_log(directory))
    assert len(segments) > 5
    assert segments[-1].last == 60
    assert [one.position for one in read_log(directory)] == list(range(1, 61))
    assert [one.position for one in read_log(directory, after=37)] == list(range(38, 61))
    sealed = directory / segments[0].name
    assert sealed.stat().st_mode & 0o777 == 0o444
    assert sealed.stat().st_size == segments[0].size
    assert directory.stat().st_mode & 0o777 == 0o700
