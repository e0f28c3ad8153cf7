"""Appending: durable on return, whole or not at all, in one order for all."""

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from eventlog import (
    BatchTooLarge,
    EventLog,
    EventTooLarge,
    InvalidEvent,
    NewEvent,
    Record,
    WrongExpectedVersion,
)
from eventlog.log import QUEUE_APPENDS
from tests.eventlog.gate import Gate
from tests.eventlog.samples import event


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


async def test_many_producers_share_few_commits(held: EventLog, gate: Gate) -> None:
    gate.shut()
    async with trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(held.append, [event(str(n))])
        await wait_all_tasks_blocked()
        assert held.head == 0
        gate.open()
    assert held.head == 200
    assert 1 <= gate.passed("commit") <= 3


async def test_a_queued_append_cannot_be_cancelled(held: EventLog, gate: Gate) -> None:
    gate.shut()
    finished: list[Record] = []

    async def produce() -> None:
        finished.extend(await held.append([event("kept")]))

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


async def test_a_full_queue_parks_and_parking_can_be_cancelled(held: EventLog, gate: Gate) -> None:
    gate.shut()
    async with trio.open_nursery() as nursery:
        for n in range(QUEUE_APPENDS):
            nursery.start_soon(held.append, [event(str(n))])
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as parked:
            parked.start_soon(held.append, [event("parked")])
            await wait_all_tasks_blocked()
            assert held.version("s") == QUEUE_APPENDS
            parked.cancel_scope.cancel()
        nursery.start_soon(held.append, [event("patient")])
        await wait_all_tasks_blocked()
        gate.open()
    assert held.head == QUEUE_APPENDS + 1
    assert [r.event_id async for r in held.read(QUEUE_APPENDS)] == ["patient"]


async def test_an_append_under_a_cancelled_scope_writes_nothing(log: EventLog) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await log.append([event("never")])
    assert (log.head, log.version("s")) == (0, 0)


async def test_a_refused_event_leaves_nothing_of_its_batch(log: EventLog) -> None:
    with pytest.raises(EventTooLarge):
        await log.append([event("small"), event("large", payload=bytes(64 * 1024))])
    with pytest.raises(BatchTooLarge):
        await log.append([event(str(n), payload=bytes(60_000)) for n in range(18)])
    assert (log.head, log.version("s")) == (0, 0)
    assert [one.position for one in await log.append([event("after")])] == [1]
