"""Moments of the log: how they are written, and where in the log they are."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import LogOptions, NewEvent, Record, open_log
from supervisor.api.cloudevents import rfc3339
from supervisor.api.moments import SKEW_NS, nanoseconds, parse_moment, position_before
from supervisor.api.subscription import Subscription, begin
from supervisor.vm.commands import CommandDenied, DenyReason

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("written", "at_ns"),
    [
        ("0", 0),
        ("1700000000123", 1_700_000_000_123_000_000),
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T01:00:01+01:00", SECOND),
        ("1969-12-31T23:59:59-00:00", -SECOND),
        ("1970-01-01T00:00:00.5Z", SECOND // 2),
        ("1970-01-01T00:00:00.000000001Z", 1),
    ],
)
def test_a_moment_is_a_time_or_milliseconds(written: str, at_ns: int) -> None:
    assert parse_moment(written) == at_ns


@pytest.mark.parametrize(
    "written",
    [
        "",
        "now",
        "-1",
        "1.5",
        "1" * 17,
        "2026-11-23",
        "2026-11-23T10:00:00",
        "2026-11-23 10:00:00Z",
        "2026-11-23T10:00:00 01:00",
        "2026-11-23T10:00:00.0000000001Z",
        "2026-13-23T10:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T10:00:00+99:00",
        "٣",
    ],
)
def test_what_is_no_moment_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_moment(written)


@given(st.integers(0, 253_402_300_799 * SECOND))
def test_the_time_of_an_event_is_read_back_exactly(at_ns: int) -> None:
    assert parse_moment(rfc3339(at_ns)) == at_ns


@given(st.datetimes(timezones=st.timezones()) | st.text("0123456789TZ:+-. ", max_size=40))
def test_no_time_and_no_text_is_too_strange(said: datetime | str) -> None:
    with suppress(ValueError):
        parse_moment(said if isinstance(said, str) else said.isoformat())
    if isinstance(said, datetime):
        nanoseconds(said)


class MemoryLog:
    """A log of these times, whose events before ``first`` were archived."""

    log_id = node_id = "a"

    def __init__(self, times: list[int], first: int = 1) -> None:
        self.first = first
        self.head = first - 1 + len(times)
        self.reads = 0
        self._times = times

    def subscribe(self, after: int = 0) -> "Rest":
        self.reads += 1
        assert self.first - 1 <= after < self.head
        return Rest(after + 1, self._times[after + 1 - self.first :])


class Rest:
    """The events from a position on. An iterator, which may be dropped anywhere."""

    def __init__(self, position: int, times: list[int]) -> None:
        self._records = (_record(at, time) for at, time in enumerate(times, position))

    def __aiter__(self) -> "Rest":
        return self

    async def __anext__(self) -> Record:
        return next(self._records)

    async def take(self) -> list[Record]:
        return list(self._records)


def _record(position: int, time: int) -> Record:
    return Record(position, "host", 1, "a.v1", "", time, 1, "", "", "", "", "", {}, b"\x80")


TIMES = st.lists(st.integers(0, 50), max_size=60).map(sorted)


@given(TIMES, st.integers(-5, 60))
async def test_the_first_event_of_a_moment_or_later_is_found(times: list[int], at_ns: int) -> None:
    log = MemoryLog(times)
    before = await position_before(log, at_ns)
    assert all(time < at_ns for time in times[:before])
    assert all(time >= at_ns for time in times[before:])
    assert log.reads <= max(len(times), 1).bit_length()


async def test_a_moment_whose_events_may_be_archived_is_refused() -> None:
    log = MemoryLog([10, 20], first=5)
    assert await position_before(log, 11) == 5
    with pytest.raises(CommandDenied, match="since: events before position 5 were archived") as no:
        await position_before(log, 10)
    assert no.value.reason is DenyReason.POSITION_ARCHIVED


async def test_a_position_whose_events_were_archived_is_refused() -> None:
    log = MemoryLog([10, 20], first=5)
    for after in (4, 5):
        assert (await begin(Subscription(after), log, lambda _: True)).after == after
    with pytest.raises(CommandDenied, match="events before 5 were archived") as no:
        await begin(Subscription(3), log, lambda _: True)
    assert no.value.reason is DenyReason.POSITION_ARCHIVED


async def test_a_moment_that_is_to_come_is_refused_unless_the_log_is_ahead_of_the_clock() -> None:
    far = nanoseconds(datetime.now(UTC)) + 10 * SKEW_NS
    with pytest.raises(CommandDenied) as denied:
        await position_before(MemoryLog([1]), far)
    assert denied.value.reason is DenyReason.POSITION_IN_FUTURE
    assert await position_before(MemoryLog([1, far]), far) == 1
    ahead = nanoseconds(datetime.now(UTC)) + SKEW_NS // 2  # of a client whose clock is
    assert await position_before(MemoryLog([1]), ahead) == 1


async def test_a_real_log_is_searched_over_its_files(tmp_path: Path) -> None:
    clock: Iterator[int] = iter(range(SECOND, 10**6 * SECOND, SECOND))
    said = NewEvent(stream="host", type="a.v1", payload=b"\x80", event_id="")
    async with open_log(tmp_path / "log", LogOptions(clock=lambda: next(clock))) as log:
        for _ in range(9):
            await log.append([said])
    options = LogOptions(clock=lambda: next(clock))
    async with open_log(tmp_path / "log", options) as log:
        times = [record.recorded_at async for record in log.read()]
        for position, at_ns in enumerate(times):
            assert await position_before(log, at_ns) == position
            assert await position_before(log, at_ns + 1) == position + 1
