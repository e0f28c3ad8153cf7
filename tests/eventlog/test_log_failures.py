"""Disk errors at every operation: the log stops, says so, and nothing acknowledged is lost."""

import errno
import itertools
import os
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from eventlog import (
    EventLog,
    LogNotWritable,
    LogOptions,
    LogPoisoned,
    NewEvent,
    Spare,
    open_log,
    verify_log,
)
from eventlog.storage import DiskStorage, Storage
from tests.eventlog.memory_storage import FaultyStorage, MemoryStorage
from tests.eventlog.samples import event, write_life

SEGMENT = 4096


class FailAt:
    """Fails one operation, counted from 1 after `arm`, and every later one if it `lasts`."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._left = -1
        self.failed = 0

    def arm(self, nth: int) -> None:
        self._left = nth

    def __call__(self, operation: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.failed += 1
            raise OSError(self._code, f"{os.strerror(self._code)} in {operation}")


class DiskFull:
    """Once `full`, no new space can be had; what is allocated can still be written."""

    def __init__(self) -> None:
        self.left = 1_000_000

    def __call__(self, operation: str) -> None:
        if operation == "allocate":
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _options(spoil: "FailAt | DiskFull") -> LogOptions:
    def storage(directory: Path) -> Storage:
        return FaultyStorage(DiskStorage(directory), spoil)

    return LogOptions(segment_bytes=SEGMENT, storage=storage)


def _events(count: int) -> list[NewEvent]:
    return [event(str(n), payload=bytes([1]) * 500) for n in range(count)]


async def _append_until_it_fails(
    directory: Path, spoil: FailAt, nth: int
) -> tuple[int, LogPoisoned | None]:
    """Returns the last acknowledged position and the error, if there was one."""
    async with open_log(directory, _options(spoil)) as log:
        spoil.arm(nth)
        for one in _events(20):
            try:
                await log.append([one])
            except LogPoisoned as error:
                return log.head, error
        return log.head, None


@pytest.mark.fault("host-in-want")
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
async def test_a_failure_at_any_operation_loses_nothing_acknowledged(
    tmp_path: Path, code: int
) -> None:
    poisoned = 0
    for nth in itertools.count(1):
        directory = tmp_path / f"log{nth}"
        spoil = FailAt(code)
        acknowledged, error = await _append_until_it_fails(directory, spoil, nth)
        if error is not None:
            poisoned += 1
            assert isinstance(error.__cause__, OSError)
            assert error.__cause__.errno == code
        async with open_log(directory, LogOptions(segment_bytes=SEGMENT)) as log:
            recovered = [r.event_id async for r in log.read()]
            assert len(recovered) in (acknowledged, acknowledged + 1)
            assert recovered == [str(n) for n in range(len(recovered))]
            await log.append([event("goes on")])
        assert list(verify_log(directory))[-1].last == len(recovered) + 1
        if not spoil.failed:
            break
    assert poisoned > 60


async def test_all_waiters_and_subscribers_learn_of_the_failure(tmp_path: Path) -> None:
    spoil = FailAt(errno.EIO)
    failed: list[BaseException | None] = []

    async with open_log(tmp_path / "log", _options(spoil)) as log:

        async def produce() -> None:
            with pytest.raises(LogPoisoned) as caught:
                await log.append([event("x")])
            failed.append(caught.value.__cause__)

        async def follow() -> None:
            subscription = log.subscribe()
            await anext(subscription)
            with pytest.raises(LogPoisoned) as caught:
                await anext(subscription)
            failed.append(caught.value.__cause__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await wait_all_tasks_blocked()
            spoil.arm(1)
            for _ in range(30):
                nursery.start_soon(produce)
        assert len(failed) == 31
        assert all(isinstance(cause, OSError) for cause in failed)
        with pytest.raises(LogPoisoned):
            await log.append([event("later")])
        assert spoil.failed == 1


async def _fill(log: EventLog) -> str | None:
    """Append until the log ends; returns why."""
    with pytest.raises(LogPoisoned) as caught:
        await _append_forever(log)
    assert isinstance(caught.value.__cause__, OSError)
    return caught.value.__cause__.strerror


async def _append_forever(log: EventLog) -> None:
    for one in itertools.cycle(_events(10)):
        await log.append([one])


def _spare(log: EventLog) -> Spare:
    return log.spare


async def test_a_full_disk_leaves_the_spare_segment_for_last_events(tmp_path: Path) -> None:
    full = DiskFull()
    async with open_log(tmp_path / "log", _options(full)) as log:
        assert _spare(log) is Spare.HELD
        full.left = 0
        assert await _fill(log) == "No space left on device"
        assert _spare(log) is Spare.MISSING
        acknowledged = log.head
    assert acknowledged >= 2 * (SEGMENT // 800)
    assert list(verify_log(tmp_path / "log"))[-1].last == acknowledged


async def test_space_that_comes_back_is_taken_as_the_spare_again(tmp_path: Path) -> None:
    full = DiskFull()
    async with open_log(tmp_path / "log", _options(full)) as log:
        full.left = 0
        while _spare(log) is not Spare.MISSING:
            await log.append(_events(1))
        full.left = 1_000_000
        with trio.fail_after(60):
            while _spare(log) is not Spare.HELD:
                await log.append(_events(1))


async def test_a_disk_that_is_full_at_the_start_is_named(tmp_path: Path) -> None:
    full = DiskFull()
    full.left = 0
    with pytest.raises(LogNotWritable, match="No space left"):
        async with open_log(tmp_path / "log", _options(full)):
            pass
    async with open_log(tmp_path / "log", LogOptions(segment_bytes=SEGMENT)) as log:
        assert log.head == 0


def test_disk_operations_come_in_the_order_that_crashes_depend_on() -> None:
    done: list[str] = []
    storage = FaultyStorage(MemoryStorage(), done.append)
    write_life(storage, [[b"x" * 1500], [b"y" * 1500], [b"z" * 1500]])
    commit = ["pwrite", "fdatasync", "pwrite"]  # frame, sync, tip
    spare = ["create", "allocate", "pwrite", "fsync"]
    begin = ["pwrite", "fsync", "rename", "fsync_dir"]  # header, then name
    seal = ["pwrite", "fdatasync", "truncate", "make_read_only", "fsync"]
    opened = [*spare, *begin, "create", "pwrite", *spare]  # the last create makes the tip
    assert done == [*opened, *commit, *commit, *seal, *begin, *commit, *spare]
