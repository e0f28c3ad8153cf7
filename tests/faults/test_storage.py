"""A disk that fails at an append of the plan's choosing, under the real log."""

import errno
from pathlib import Path

import pytest

from eventlog import LogOptions, LogPoisoned, NewEvent, open_log, read_log, verify_log
from eventlog.storage import DiskStorage
from supervisor.faults.plan import DiskError, FailAppend
from supervisor.faults.storage import AppendFaults, FaultyStorage
from supervisor.faults.trigger import Trigger

EVENT = NewEvent("stream", "told.v1", b"\x80", "id")


def options(faults: AppendFaults) -> LogOptions:
    return LogOptions(storage=lambda directory: FaultyStorage(DiskStorage(directory), faults))


async def test_appends_are_counted_and_nothing_else_is(tmp_path: Path) -> None:
    faults = AppendFaults([], [])
    async with open_log(tmp_path, options(faults)) as log:
        for _ in range(5):
            await log.append([EVENT, EVENT])
    assert faults.appends == 5


@pytest.mark.parametrize(
    ("error", "number"), [(DiskError.EIO, errno.EIO), (DiskError.ENOSPC, errno.ENOSPC)]
)
async def test_the_append_of_the_plan_fails_and_the_log_is_what_came_before(
    tmp_path: Path, error: DiskError, number: int
) -> None:
    faults = AppendFaults([Trigger(FailAppend(error, nth=3))], [])
    async with open_log(tmp_path, options(faults)) as log:
        await log.append([EVENT])
        await log.append([EVENT])
        with pytest.raises(LogPoisoned) as caught:
            await log.append([EVENT])
        cause = caught.value.__cause__
        assert isinstance(cause, OSError)
        assert cause.errno == number
    for _ in verify_log(tmp_path):
        pass
    assert len(list(read_log(tmp_path))) == 2
