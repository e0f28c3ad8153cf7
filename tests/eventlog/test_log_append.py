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
    InvalidEvent,
    LogClosed,
    LogOptions,
    NewEvent,
    Record,
    WrongExpectedVersion,
    open_log,
    read_log,
    verify_log,
)
from eventlog.log import QUEUE_APPENDS
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


async def test_a_record_tells_what_was_appended_and_where(log: EventLog) -> None:
    new = NewEvent(
        stream="s",
        type="t.v1",
        payload=b"\x81\xa1a\x01",
        event_id="id",
        causation_id="c",
        correlation_id="k",
        traceparent="00-1-2-01",
        tenant="acme",
        principal="uid:1000",
        ext={"b": "2", "a": "1"},
    )
    (record,) = await log.append([new])
    for field in new.__struct_fields__:
        assert getattr(record, field) == getattr(new, field)
    assert (record.position, record.version, record.recorded_at, record.epoch) == (1, 1, 1_000, 1)
    assert msgspec.msgpack.decode(record.raw, type=Record) == record
    assert (log.head, log.version("s"), log.version("other")) == (1, 1, 0)


async def test_a_batch_over_several_streams_is_numbered_within_each(log: EventLog) -> None:
    await log.append([event("a", "x")])
    records = await log.append([event("b", "y"), event("c", "x"), event("d", "y")])
    assert [(r.position, r.stream, r.version) for r in records] == [
        (2, "y", 1),
        (3, "x", 2),
        (4, "y", 2),
    ]


async def test_expected_versions_of_several_streams_must_all_hold(log: EventLog) -> None:
    await log.append([event("a", "x"), event("b", "y")])
    await log.append([event("c", "x")], expected={"x": 1, "y": 1, "new": 0})
    with pytest.raises(WrongExpectedVersion) as caught:
        await log.append([event("d", "y"), event("e", "x")], expected={"y": 1, "x": 1})
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("x", 1, 2)
    assert (log.head, log.version("y")) == (3, 1)


async def test_of_rivals_with_one_expected_version_exactly_one_wins(log: EventLog) -> None:
    outcomes: list[str] = []

    async def rival(name: str) -> None:
        try:
            await log.append([event(name)], expected={"s": 0})
        except WrongExpectedVersion:
            outcomes.append("refused")
        else:
            outcomes.append("won")

    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(rival, str(n))
    assert sorted(outcomes) == ["refused"] * 19 + ["won"]


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream": "log"},
        {"type": "log.base.v1"},
        {"stream": ""},
        {"type": ""},
        {"payload": "text"},
        {"event_id": 5},
        {"tenant": "\ud800"},
        {"ext": {"a": 1}},
        {"ext": None},
    ],
    ids=str,
)
async def test_an_event_that_could_not_be_read_again_is_refused(
    log: EventLog, wrong: dict[str, object]
) -> None:
    new = msgspec.structs.replace(event("e"), **wrong)
    with pytest.raises(InvalidEvent):
        await log.append([event("first"), new])
    assert (log.head, log.version("s")) == (0, 0)
    await log.append([event("after")])


async def test_appending_nothing_checks_versions_and_writes_nothing(log: EventLog) -> None:
    assert await log.append([], expected={"s": 0}) == ()
    with pytest.raises(WrongExpectedVersion):
        await log.append([], expected={"s": 1})
    assert log.head == 0


async def test_time_never_runs_backwards(tmp_path: Path) -> None:
    ticks = iter([50, 50, 100, 40, 60])
    options = LogOptions(segment_bytes=4096, clock=lambda: next(ticks, 70))
    async with open_log(tmp_path / "log", options) as log:
        times = [(await log.append([event(str(n))]))[0].recorded_at for n in range(4)]
    assert times == [100, 100, 100, 100]
    async with open_log(tmp_path / "log", options) as log:
        assert (await log.append([event("later")]))[0].recorded_at == 100


async def test_many_producers_share_few_syncs(gated: EventLog, gate: Gate) -> None:
    gate.shut()
    async with trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(gated.append, [event(str(n))])
        await wait_all_tasks_blocked()
        assert gated.head == 0
        gate.open()
    assert gated.head == 200
    assert 1 <= gate.passed("fdatasync") <= 3


async def test_a_queued_append_cannot_be_cancelled(gated: EventLog, gate: Gate) -> None:
    gate.shut()
    finished: list[Record] = []

    async def produce() -> None:
        finished.extend(await gated.append([event("kept")]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked_shielded()
        gate.open()
    assert [record.event_id for record in finished] == ["kept"]


async def wait_all_tasks_blocked_shielded() -> None:
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()


async def test_a_full_queue_parks_and_parking_can_be_cancelled(gated: EventLog, gate: Gate) -> None:
    gate.shut()
    async with trio.open_nursery() as nursery:
        for n in range(QUEUE_APPENDS):
            nursery.start_soon(gated.append, [event(str(n))])
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as parked:
            parked.start_soon(gated.append, [event("parked")])
            await wait_all_tasks_blocked()
            assert gated.version("s") == QUEUE_APPENDS
            parked.cancel_scope.cancel()
        nursery.start_soon(gated.append, [event("patient")])
        await wait_all_tasks_blocked()
        gate.open()
    assert gated.head == QUEUE_APPENDS + 1
    assert [r.event_id async for r in gated.read(QUEUE_APPENDS)] == ["patient"]


async def test_an_append_under_a_cancelled_scope_writes_nothing(log: EventLog) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await log.append([event("never")])
    assert (log.head, log.version("s")) == (0, 0)


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
