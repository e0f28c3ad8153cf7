"""What every contestant keeps: the same events, of about 289 bytes each."""

from pathlib import Path

import msgspec
import trio

from eventlog import EventLog, NewEvent, open_log
from eventlog.frame import frame_size

STREAMS = 50
DISTINCT = 4096
"""Events made beforehand, so that making them is not measured."""

BATCH = 256
"""Events in one frame of a log for readers, as group commit with many producers leaves them."""


class Progress(msgspec.Struct, frozen=True):
    """The payload: what a supervisor's most frequent event holds."""

    launch: int
    fraction: float
    message: str


def _event(number: int) -> NewEvent:
    message = f"half of the rows of table {number:04} are read, and none was refused so far"
    return NewEvent(
        stream=f"vm/{number % STREAMS:032}",
        type="vm.progress-reported.v1",
        payload=msgspec.msgpack.encode(Progress(1, 0.5, message)),
        event_id=f"018f3c6e-7b1a-7c2d-9e4f-{number:012}",
        correlation_id=f"018f3c6e-7b1a-7c2d-{number:016}",
        tenant="local",
        principal="uid:1000",
    )


EVENTS = [_event(number) for number in range(DISTINCT)]


def frame_of(event_bytes: int) -> bytes:
    """Bytes that look to the disk like one event alone in its frame."""
    return b"\xa5" * frame_size(1 + event_bytes)


async def fill(log: EventLog, count: int, batch: int = BATCH) -> None:
    """Append `count` events, `batch` of them at a time."""
    for start in range(0, count, batch):
        await log.append([EVENTS[n % DISTINCT] for n in range(start, min(start + batch, count))])


def write_log(directory: Path, count: int) -> int:
    """Write a log of `count` events in frames of `BATCH`; return the bytes of its last event."""

    async def write() -> int:
        async with open_log(directory) as log:
            await fill(log, count)
            (last,) = [record async for record in log.read(count - 1)]
            return len(last.raw)

    return trio.run(write)
