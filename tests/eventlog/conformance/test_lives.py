"""One life of the writer after another, and how a life ends."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from eventlog import EventLog, LogClosed, LogFenced, LogLocked, LogPoisoned, WrongExpectedVersion
from tests.eventlog.conformance.conftest import Backend
from tests.eventlog.gate import Gate
from tests.eventlog.samples import event


class FailingGate(Gate):
    """Fails every commit from the moment it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: OSError | None = None

    def __call__(self, operation: str) -> None:
        super().__call__(operation)
        if self.error is not None:
            raise self.error


async def test_another_life_goes_on_where_the_last_one_ended(backend: Backend) -> None:
    async with backend.open() as log:
        first = await log.append([event("a", "x"), event("b", "y"), event("c", "x")])
        log_id = log.log_id
    async with backend.open() as log:
        assert (log.log_id, log.epoch, log.head) == (log_id, 2, 3)
        assert [one async for one in log.read()] == list(first)
        with pytest.raises(WrongExpectedVersion):
            await log.append([event("d", "x")], expected={"x": 1})
        (record,) = await log.append([event("d", "x")], expected={"x": 2, "y": 1})
    assert (record.position, record.version, record.epoch) == (4, 3, 2)


async def test_every_life_is_an_epoch_even_an_empty_one(backend: Backend) -> None:
    for life in range(1, 4):
        async with backend.open() as log:
            assert (log.epoch, log.head) == (life, 0)


async def test_time_never_runs_backwards_over_lives(backend: Backend) -> None:
    async with backend.open(lambda: 2_000) as log:
        await log.append([event("a")])
    async with backend.open(lambda: 500) as log:
        assert (await log.append([event("b")]))[0].recorded_at == 2_000


async def test_a_second_writer_is_refused(backend: Backend) -> None:
    async with backend.open() as log:
        with pytest.raises(LogLocked):
            async with backend.open():
                pass
        await log.append([event("the first goes on")])
    async with backend.open() as log:
        assert log.head == 1


async def test_a_writer_that_lost_its_claim_stops(backend: Backend) -> None:
    async with backend.open() as log:
        await log.append([event("mine")])
        (backend.directory / "lock").unlink()
        with pytest.raises(LogPoisoned) as caught:
            await log.append([event("whose?")])
        assert isinstance(caught.value.__cause__, LogFenced)
    async with backend.open() as log:
        assert [one.event_id async for one in log.read()] == ["mine"]


async def test_a_failed_commit_ends_the_log_for_all_and_the_next_life_has_what_was_acknowledged(
    backend: Backend,
) -> None:
    gate = FailingGate()
    ends: list[str] = []

    async def produce(log: EventLog, name: str) -> None:
        with pytest.raises(LogPoisoned):
            await log.append([event(name)])
        ends.append(name)

    async def follow(log: EventLog) -> None:
        subscription = log.subscribe(1)
        await anext(subscription)
        with pytest.raises(LogPoisoned):
            await anext(subscription)
        ends.append("subscriber")

    async with backend.open_held(gate) as log:
        await log.append([event("kept")])
        gate.shut()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, log)
            for name in ("b", "c"):
                nursery.start_soon(produce, log, name)
            await wait_all_tasks_blocked()
            gate.error = OSError(5, "input/output error")
            gate.open()
        with pytest.raises(LogPoisoned):
            await log.append([event("late")])
        assert [one.event_id async for one in log.read()] == ["kept"]
    assert sorted(ends) == ["b", "c", "subscriber"]
    async with backend.open() as log:
        assert [one.event_id async for one in log.read()] == ["kept"]


async def test_leaving_the_block_commits_what_is_queued(backend: Backend) -> None:
    async with trio.open_nursery() as nursery, backend.open() as log:
        for n in range(50):
            nursery.start_soon(log.append, [event(str(n))])
        await wait_all_tasks_blocked()
    with pytest.raises(LogClosed):
        await log.append([event("late")])
    async with backend.open() as log:
        assert log.head == 50
