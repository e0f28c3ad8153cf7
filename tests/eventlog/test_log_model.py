"""Any sequence of appends, readings and restarts behaves like a plain list."""

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog import (
    CaughtUp,
    EventLog,
    LogOptions,
    NewEvent,
    Record,
    Subscription,
    WrongExpectedVersion,
    open_log,
    read_log,
    verify_log,
)
from tests.eventlog.samples import event

OPTIONS = LogOptions(segment_bytes=4096)

_streams = st.sampled_from(["a", "b", "c"])
_payloads = st.one_of(
    st.binary(max_size=20),
    st.integers(0, 1200).map(bytes),
    st.integers(0, 1200).map(b"\xff".__mul__),
)
_batches = st.lists(st.tuples(_streams, _payloads), min_size=1, max_size=2)
_steps = st.one_of(
    st.tuples(st.just("append"), _batches),
    st.tuples(st.just("expect"), st.tuples(_streams, st.integers(0, 6))),
    st.tuples(st.just("together"), st.lists(_batches, min_size=2, max_size=6)),
    st.tuples(st.just("read"), st.tuples(st.integers(0, 40), st.none() | _streams)),
    st.tuples(st.just("subscribe"), st.integers(0, 40)),
    st.tuples(st.just("pull"), st.integers(1, 5)),
    st.tuples(st.just("reopen"), st.none()),
)


class Model:
    """The log under test beside the list that it must equal."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.events: list[tuple[str, bytes]] = []
        self.lives = 0
        self._stack = AsyncExitStack()
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        self.log = await self._stack.enter_async_context(open_log(self.directory, OPTIONS))
        self.lives += 1
        self._subscription = None
        assert self.log.epoch == self.lives
        assert self.log.head == len(self.events)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def reopen(self, _: None) -> None:
        await self.stop()
        await self.start()

    async def append(self, batch: list[tuple[str, bytes]]) -> None:
        records = await self.log.append([_event(*one) for one in batch])
        self.events += batch
        self._check(list(records), len(self.events) - len(batch))

    async def expect(self, wanted: tuple[str, int]) -> None:
        stream, version = wanted
        if version == self._version(stream):
            await self.log.append([_event(stream, b"")], expected={stream: version})
            self.events.append((stream, b""))
        else:
            with pytest.raises(WrongExpectedVersion):
                await self.log.append([_event(stream, b"")], expected={stream: version})

    async def together(self, batches: list[list[tuple[str, bytes]]]) -> None:
        done: list[tuple[Record, ...]] = []

        async def produce(batch: list[tuple[str, bytes]]) -> None:
            done.append(await self.log.append([_event(*one) for one in batch]))

        async with trio.open_nursery() as nursery:
            for batch in batches:
                nursery.start_soon(produce, batch)
        placed = sorted((r for records in done for r in records), key=lambda r: r.position)
        self.events += [(r.stream, r.payload) for r in placed]
        self._check(placed, len(self.events) - len(placed))
        given_batches = sorted(batches)
        assert sorted([(r.stream, r.payload) for r in records] for records in done) == given_batches

    async def read(self, what: tuple[int, str | None]) -> None:
        after, stream = min(what[0], len(self.events)), what[1]
        records = [record async for record in self.log.read(after, stream=stream)]
        assert records == list(read_log(self.directory, after, stream))
        if stream is None:
            self._check(records, after)

    async def subscribe(self, after: int) -> None:
        self._subscription = self.log.subscribe(min(after, len(self.events)))

    async def pull(self, count: int) -> None:
        if self._subscription is None:
            return
        for _ in range(count):
            at = self._subscription.position
            with trio.move_on_after(0):
                item = await anext(self._subscription)
                if isinstance(item, CaughtUp):
                    assert item.position == at == len(self.events)
                else:
                    self._check([item], at)

    def _check(self, records: list[Record], after: int) -> None:
        versions: dict[str, int] = {}
        for stream, _ in self.events[:after]:
            versions[stream] = versions.get(stream, 0) + 1
        for at, record in enumerate(records, after):
            stream, payload = self.events[at]
            versions[stream] = versions.get(stream, 0) + 1
            seen = (record.position, record.stream, record.version, record.payload)
            assert seen == (at + 1, stream, versions[stream], payload)

    def _version(self, stream: str) -> int:
        version = sum(one == stream for one, _ in self.events)
        assert self.log.version(stream) == version
        return version

    log: EventLog


def _event(stream: str, payload: bytes) -> NewEvent:
    return event("e", stream, payload)


async def _run(directory: Path, steps: list[tuple[str, object]]) -> None:
    model = Model(directory)
    await model.start()
    try:
        for name, argument in steps:
            await getattr(model, name)(argument)
    finally:
        await model.stop()
    segments = list(verify_log(directory))
    assert segments[-1].last == len(model.events)
    assert [(r.stream, r.payload) for r in read_log(directory)] == model.events


@settings(max_examples=60, deadline=None)
@given(st.lists(_steps, max_size=25))
def test_the_log_equals_a_list(steps: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(_run, Path(directory) / "log", steps)
