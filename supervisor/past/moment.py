"""A moment of the log: a position, or a time."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from eventlog import PositionArchived, PositionInFuture, Record, read_log
from supervisor.written.quantities import parse_duration

MOMENT_TAKES = (
    "a position such as 120, a time such as 2026-05-01T10:00 (of this host's zone unless it names "
    "one), or a duration ago such as 10m"
)
_POSITION = re.compile(r"[0-9]{1,20}")


class AtPosition(msgspec.Struct, frozen=True):
    """After the event at this position; 0 is before the first."""

    position: int


class AtTime(msgspec.Struct, frozen=True):
    """After the last event that was recorded until then, in nanoseconds since 1970 UTC."""

    recorded_at: int


Moment = AtPosition | AtTime

BEGINNING = AtPosition(0)
"""There was nothing, whatever was archived."""


def parse_moment(written: str, now: datetime.datetime) -> Moment:
    """Return the moment that a person means. Raises ValueError."""
    if _POSITION.fullmatch(written):
        return AtPosition(int(written))
    try:
        return _at(datetime.datetime.fromisoformat(written))
    except ValueError:
        return _at(now - datetime.timedelta(milliseconds=parse_duration(written)))


def events_until(log: Path, moment: Moment, after: int = 0) -> Iterator[Record]:
    """Yield the events up to a moment.

    Raises PositionInFuture behind the last one, for a position that the log does not reach,
    PositionArchived for a moment before what is left of the log, and what `read_log` raises.
    """
    head = after
    for record in read_log(log, after):
        if is_beyond(record, moment):
            if head == after and record.position > after + 1 and moment != BEGINNING:
                raise PositionArchived(after, record.position)
            return
        yield record
        head = record.position
    if isinstance(moment, AtPosition) and head < moment.position:
        raise PositionInFuture(moment.position, head)


def is_beyond(record: Record, moment: Moment) -> bool:
    """Whether an event is later than a moment."""
    match moment:
        case AtPosition(position):
            return record.position > position
        case AtTime(recorded_at):
            return record.recorded_at > recorded_at


def _at(time: datetime.datetime) -> AtTime:
    return AtTime(int(time.timestamp() * 1_000_000) * 1000 + 999)
