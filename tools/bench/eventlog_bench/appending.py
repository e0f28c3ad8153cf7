"""Appending: how many a second, and how long each one waits."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import trio

from eventlog import EventLog
from eventlog_bench.workload import DISTINCT, EVENTS

RAW_FILE_BYTES = 16 * 1024 * 1024
_ZEROS = bytes(1024 * 1024)

Opening = Callable[[], AbstractAsyncContextManager[EventLog]]


class Appends(msgspec.Struct, frozen=True):
    """One run: events per second, and the seconds that the median and the slowest 1 % took."""

    per_second: float
    p50: float
    p99: float


def summary(waits: list[float], elapsed: float) -> Appends:
    """Return what a run's waits amount to."""
    waits.sort()
    return Appends(len(waits) / elapsed, waits[len(waits) // 2], waits[len(waits) * 99 // 100])


def timed(count: int, write: Callable[[int], object]) -> Appends:
    """Call `write` for each number, one after another."""
    waits: list[float] = []
    begun = time.perf_counter()
    for number in range(count):
        before = time.perf_counter()
        write(number)
        waits.append(time.perf_counter() - before)
    return summary(waits, time.perf_counter() - begun)


def raw(directory: Path, data: bytes, count: int) -> Appends:
    """The least that durable costs: pwrite and fdatasync of `data` in a file that has its size."""
    path = directory / "raw"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        for offset in range(0, RAW_FILE_BYTES, len(_ZEROS)):
            os.pwrite(fd, _ZEROS, offset)
        os.fsync(fd)

        def write(number: int) -> None:
            os.pwrite(fd, data, number * len(data) % (RAW_FILE_BYTES - len(data)))
            os.fdatasync(fd)

        return timed(count, write)
    finally:
        os.close(fd)
        path.unlink()


def producers(opening: Opening, number: int, count: int) -> Appends:
    """`number` tasks that append one event after another, `count` in all."""
    waits: list[float] = []

    async def produce(log: EventLog, first: int) -> None:
        for n in range(first, count, number):
            before = time.perf_counter()
            await log.append([EVENTS[n % DISTINCT]])
            waits.append(time.perf_counter() - before)

    async def run() -> float:
        async with opening() as log:
            await log.append([EVENTS[0]])
            begun = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for first in range(number):
                    nursery.start_soon(produce, log, first)
            return time.perf_counter() - begun

    return summary(waits, trio.run(run))
