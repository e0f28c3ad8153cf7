"""Subscribers in the writer's process: what they take, how soon, and what a stalled one costs."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import trio

from eventlog import EventLog, Journal, Part, Record, Recovered, Spare, open_log, open_over
from eventlog.journal import open_journal
from eventlog.storage import DiskStorage
from eventlog_bench.workload import DISTINCT, EVENTS, Progress, fill

SUBSCRIBERS = 100
SEGMENT_BYTES = 16 * 1024 * 1024
_decode = msgspec.msgpack.Decoder(Progress).decode


def from_log(directory: Path, count: int) -> float:
    """Bytes of payload per second that subscribers of a log take and decode, appends included."""
    taken = 0

    async def follow(log: EventLog) -> None:
        nonlocal taken
        subscription = log.subscribe()
        while subscription.position < count:
            for event in await subscription.take():
                if isinstance(event, Record):
                    _decode(event.payload)
                    taken += len(event.payload)

    async def run() -> float:
        async with open_log(directory) as log:
            begun = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for _ in range(SUBSCRIBERS):
                    nursery.start_soon(follow, log)
                nursery.start_soon(fill, log, count)
            return time.perf_counter() - begun

    elapsed = trio.run(run)
    return taken / elapsed


def from_channels(count: int) -> float:
    """The same with a memory channel for each subscriber, and one send for each event."""
    taken = 0

    async def follow(channel: trio.MemoryReceiveChannel[bytes]) -> None:
        nonlocal taken
        async for payload in channel:
            _decode(payload)
            taken += len(payload)

    async def send(channels: Sequence[trio.MemorySendChannel[bytes]]) -> None:
        for number in range(count):
            for channel in channels:
                await channel.send(EVENTS[number % DISTINCT].payload)
        for channel in channels:
            channel.close()

    async def run() -> float:
        pairs = [trio.open_memory_channel[bytes](DISTINCT) for _ in range(SUBSCRIBERS)]
        begun = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _, receiver in pairs:
                nursery.start_soon(follow, receiver)
            nursery.start_soon(send, [sender for sender, _ in pairs])
        return time.perf_counter() - begun

    elapsed = trio.run(run)
    return taken / elapsed


def wakes(directory: Path, count: int) -> list[float]:
    """Seconds from "an event is durable" to "its subscriber holds it", for every subscriber."""
    found: list[float] = []
    durable: list[float] = []

    async def follow(log: EventLog) -> None:
        subscription = log.subscribe()
        await subscription.take()  # says that there is nothing yet
        while subscription.position < count:
            await subscription.take()
            found.append(time.perf_counter() - durable[subscription.position - 1])

    async def run() -> None:
        stamped = partial(opening, directory, lambda: durable.append(time.perf_counter()))
        async with open_over(stamped) as log, trio.open_nursery() as nursery:
            for _ in range(SUBSCRIBERS):
                nursery.start_soon(follow, log)
            nursery.start_soon(partial(fill, log, count, batch=1))

    trio.run(run)
    return sorted(found)


def opening(directory: Path, on_durable: Callable[[], None]) -> tuple[Journal, Recovered]:
    """Open a log that says when a commit became durable, in the writer's thread."""
    journal, recovered = open_journal(DiskStorage(directory), "bench", SEGMENT_BYTES, time.time_ns)
    return _Stamped(journal, on_durable), recovered


class _Stamped:
    """A journal that says when a commit became durable."""

    def __init__(self, inner: Journal, on_durable: Callable[[], None]) -> None:
        self.log_id = inner.log_id
        self.epoch = inner.epoch
        self.max_batch_bytes = inner.max_batch_bytes
        self.max_batch_events = inner.max_batch_events
        self.prepare = inner.prepare
        self.read = inner.read
        self.close = inner.close
        self._inner = inner
        self._on_durable = on_durable

    @property
    def spare(self) -> Spare:
        return self._inner.spare

    def commit(self, parts: Sequence[Part]) -> None:
        self._inner.commit(parts)
        self._on_durable()


def append_beside_stalled(directory: Path, count: int, stalled: int) -> float:
    """Events per second of one producer beside subscribers that took one event and stopped."""

    async def run() -> float:
        async with open_log(directory) as log:
            await fill(log, 1)
            readers = [log.subscribe() for _ in range(stalled)]
            for reader in readers:
                await reader.take()
            begun = time.perf_counter()
            await fill(log, count, batch=1)
            return count / (time.perf_counter() - begun)

    return trio.run(run)
