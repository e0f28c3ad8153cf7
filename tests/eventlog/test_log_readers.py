"""Reading: from any position, without a gap, whatever the writer and other readers do."""

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from eventlog import (
    CaughtUp,
    EventLog,
    LogClosed,
    LogOptions,
    Record,
    Spare,
    Subscription,
    open_log,
    read_log,
    verify_log,
)
from eventlog.feed import TAIL_BYTES, TAIL_COMMITS, Feed
from eventlog.journal import Part
from tests.eventlog.samples import event

OPTIONS = LogOptions(segment_bytes=4096)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with open_log(tmp_path / "log", OPTIONS) as opened:
        yield opened


async def _take(subscription: Subscription, count: int) -> list[int]:
    """Positions of the next items; a marker is the negative position."""
    items = [await anext(subscription) for _ in range(count)]
    return [-item.position if isinstance(item, CaughtUp) else item.position for item in items]


async def _fill(log: EventLog, count: int, stream: str = "s") -> None:
    for n in range(count):
        await log.append([event(f"{stream}{n}", stream)])


@pytest.mark.fault("subscriber-loses-events")
async def test_readers_far_behind_read_files_and_arrive_without_a_gap(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    async with open_log(directory, OPTIONS) as log:
        await _fill(log, 60)
    async with open_log(directory, OPTIONS) as log:
        await _fill(log, 20)
        seen: dict[int, list[int]] = {}

        async def follow(after: int) -> None:
            subscription = log.subscribe(after)
            seen[after] = []
            while subscription.position < 120:
                seen[after] += await _take(subscription, 1)

        async with trio.open_nursery() as nursery:
            for after in (0, 1, 30, 59, 60, 61, 79, 80):
                nursery.start_soon(follow, after)
            nursery.start_soon(_fill, log, 40)
    assert len(list(verify_log(directory))) > 5
    for after, positions in seen.items():
        assert [p for p in positions if p > 0] == list(range(after + 1, 121))
        assert sum(p <= 0 for p in positions) == 1


async def test_the_tail_in_memory_is_bounded_and_readers_behind_it_lose_nothing(
    log: EventLog,
) -> None:
    stalled = log.subscribe()
    await anext(stalled)
    async with trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(log.append, [event(str(n), payload=bytes(1500))])
    assert await _take(stalled, 200) == list(range(1, 201))


async def test_closing_ends_waiting_subscribers_after_the_last_event(tmp_path: Path) -> None:
    seen: list[int] = []

    async def follow(subscription: Subscription) -> None:
        with pytest.raises(LogClosed):
            await drain(subscription)

    async def drain(subscription: Subscription) -> None:
        while True:
            seen.extend(await _take(subscription, 1))

    async with trio.open_nursery() as nursery, open_log(tmp_path / "log", OPTIONS) as log:
        nursery.start_soon(follow, log.subscribe())
        await wait_all_tasks_blocked()
        nursery.start_soon(log.append, [event("last")])
        await wait_all_tasks_blocked()
    assert seen == [0, 1]


async def test_an_offline_reader_works_beside_the_writer(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    async with open_log(directory, OPTIONS) as log, trio.open_nursery() as nursery:
        await log.append([event("first")])
        nursery.start_soon(_fill, log, 300)
        while log.head < 301:
            acknowledged = log.head
            positions = await trio.to_thread.run_sync(
                lambda: [record.position for record in read_log(directory)]
            )
            assert positions == list(range(1, len(positions) + 1))
            assert len(positions) >= acknowledged
            await trio.to_thread.run_sync(lambda: list(verify_log(directory)))


async def test_the_tail_in_memory_is_bounded_by_commits_and_by_bytes(log: EventLog) -> None:
    records = await log.append([event("e")])
    many = Feed(_NoJournal(), head=0)
    for n in range(TAIL_COMMITS + 10):
        many.publish([msgspec.structs.replace(records[0], position=n + 1)], size=1)
    assert many.oldest == 11
    large = Feed(_NoJournal(), head=0)
    for n in range(5):
        large.publish([msgspec.structs.replace(records[0], position=n + 1)], size=TAIL_BYTES // 2)
    assert large.oldest == 4


class _NoJournal:
    """Where nothing is ever read from files."""

    log_id = uuid.UUID(int=0)
    epoch = 1
    max_batch_bytes = 0
    max_batch_events = 0
    spare = Spare.HELD

    def commit(self, parts: Sequence[Part]) -> None: ...

    def prepare(self) -> None: ...

    def read(self, after: int, upto: int) -> Sequence[Record]:
        raise AssertionError(f"events after {after} are not in memory")

    def close(self) -> None: ...
