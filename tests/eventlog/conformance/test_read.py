"""Reading: from any position, without a gap, whatever the writer and other readers do."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from eventlog import CaughtUp, EventLog, LogClosed, PositionInFuture, Subscription
from tests.eventlog.conformance.conftest import Backend
from tests.eventlog.samples import event


async def _take(subscription: Subscription, count: int) -> list[int]:
    """Positions of the next items; a marker is the negative position."""
    items = [await anext(subscription) for _ in range(count)]
    return [-item.position if isinstance(item, CaughtUp) else item.position for item in items]


async def _fill(log: EventLog, count: int, stream: str = "s") -> None:
    for n in range(count):
        await log.append([event(f"{stream}{n}", stream)])


async def test_a_read_ends_at_the_head_of_its_start(log: EventLog) -> None:
    await _fill(log, 3)
    reader = log.read()
    await _fill(log, 2)
    assert [r.position async for r in reader] == [1, 2, 3]
    assert [r.position async for r in log.read(3)] == [4, 5]
    assert [r.position async for r in log.read(5)] == []


async def test_a_read_can_be_narrowed_to_a_stream(log: EventLog) -> None:
    await _fill(log, 2, "a")
    await log.append([event("1", "b"), event("2", "a"), event("3", "b")])
    assert [(r.position, r.version) async for r in log.read(stream="b")] == [(3, 1), (5, 2)]
    assert [r.position async for r in log.read(3, stream="b")] == [5]


async def test_a_subscriber_gets_history_one_marker_and_what_follows(log: EventLog) -> None:
    await _fill(log, 3)
    subscription = log.subscribe(1)
    assert await _take(subscription, 3) == [2, 3, -3]
    await _fill(log, 2)
    assert await _take(subscription, 2) == [4, 5]
    assert subscription.position == 5


async def test_an_empty_log_is_caught_up_at_once(log: EventLog) -> None:
    subscription = log.subscribe()
    assert await _take(subscription, 1) == [0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fill, log, 1)
        assert await _take(subscription, 1) == [1]


async def test_a_cursor_of_the_future_is_refused(log: EventLog) -> None:
    await _fill(log, 2)
    with pytest.raises(PositionInFuture) as caught:
        log.subscribe(3)
    assert (caught.value.after, caught.value.head) == (3, 2)
    with pytest.raises(PositionInFuture):
        log.read(3)


async def test_a_negative_cursor_is_refused(log: EventLog) -> None:
    with pytest.raises(ValueError, match="negative"):
        log.subscribe(-1)


async def test_a_stalled_reader_is_known_to_nobody(log: EventLog) -> None:
    stalled = log.subscribe()
    await anext(stalled)
    before = trio.lowlevel.current_statistics().tasks_living
    await _fill(log, 50)
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert await _take(stalled, 50) == list(range(1, 51))


async def test_whole_commits_can_be_taken_at_once(log: EventLog) -> None:
    await log.append([event(str(n)) for n in range(5)])
    subscription = log.subscribe()
    assert await _take(subscription, 2) == [1, 2]
    assert [r.position for r in await subscription.take()] == [3, 4, 5]
    assert subscription.position == 5
    assert await subscription.take() == (CaughtUp(5),)
    with trio.move_on_after(0) as scope:
        await subscription.take()
    assert scope.cancelled_caught


async def test_a_waiting_subscriber_can_be_cancelled_and_go_on(log: EventLog) -> None:
    subscription = log.subscribe()
    await anext(subscription)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_take, subscription, 1)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await _fill(log, 2)
    assert await _take(subscription, 2) == [1, 2]


async def test_readers_of_earlier_lives_arrive_without_a_gap(backend: Backend) -> None:
    async with backend.open() as log:
        await _fill(log, 60)
    async with backend.open() as log:
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
    for after, positions in seen.items():
        assert [p for p in positions if p > 0] == list(range(after + 1, 121))
        assert sum(p <= 0 for p in positions) == 1


async def test_a_batch_is_read_from_its_middle(backend: Backend) -> None:
    async with backend.open() as log:
        await log.append([event(str(n)) for n in range(5)])
        await log.append([event("last")])
    async with backend.open() as log:
        assert [one.event_id async for one in log.read(3)] == ["3", "4", "last"]


async def test_closing_ends_waiting_subscribers_after_the_last_event(backend: Backend) -> None:
    seen: list[int] = []

    async def drain(subscription: Subscription) -> None:
        while True:
            seen.extend(await _take(subscription, 1))

    async def follow(subscription: Subscription) -> None:
        with pytest.raises(LogClosed):
            await drain(subscription)

    async with trio.open_nursery() as nursery, backend.open() as log:
        nursery.start_soon(follow, log.subscribe())
        await wait_all_tasks_blocked()
        nursery.start_soon(log.append, [event("last")])
        await wait_all_tasks_blocked()
    assert seen == [0, 1]
