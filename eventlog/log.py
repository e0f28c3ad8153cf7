"""The event log as its one writer uses it, inside the block of `open_log`.

The event loop gives events their positions and versions, the committer's thread makes them
durable, and only then are they shown to their appender and to readers.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import trio

from eventlog import record
from eventlog.archive import PARTS_PER_APPEND, Base, base_events
from eventlog.committer import Commits, Committer, OnDurable, OnFailure
from eventlog.errors import (
    BaseTooLate,
    BatchTooLarge,
    EventTooLarge,
    InvalidEvent,
    LogClosed,
    LogEnded,
    LogPoisoned,
    WrongExpectedVersion,
)
from eventlog.feed import Feed
from eventlog.journal import Journal, Part, Spare
from eventlog.readers import Reader, Subscription
from eventlog.record import EVENT_LIMIT, LOG_STREAM, LOG_TYPE_PREFIX, NewEvent, Record
from eventlog.recovery import REPAIRED, Recovered, Repair
from eventlog.segment import NODE_ID_LIMIT
from eventlog.storage import DiskStorage, Storage

QUEUE_BYTES = 8 * 1024 * 1024
"""Encoded events waiting for the disk: some full frames, so the disk never idles, and no more."""

QUEUE_APPENDS = 4096
"""Appends waiting for the disk: 16 times the producers that group commit is measured with."""

_SEGMENT_BYTES = (4096, 1024 * 1024 * 1024)
"""Least and most: a page, and what may still be zero-filled in seconds."""


class LogOptions(msgspec.Struct, frozen=True):
    """How a log is written. `clock` gives nanoseconds since 1970 in UTC."""

    node_id: str = "local"
    segment_bytes: int = 16 * 1024 * 1024
    clock: Callable[[], int] = time.time_ns
    storage: Callable[[Path], Storage] = DiskStorage

    def __post_init__(self) -> None:
        least, most = _SEGMENT_BYTES
        if not least <= self.segment_bytes <= most:
            raise ValueError(f"segment_bytes is {self.segment_bytes}, not {least} to {most}")
        if not 0 < len(self.node_id.encode()) <= NODE_ID_LIMIT or "\0" in self.node_id:
            raise ValueError(f"node_id must have 1 to {NODE_ID_LIMIT} bytes")


class _Append(msgspec.Struct):
    """An append on its way: what will be shown, and who waits for it."""

    records: tuple[Record, ...]
    size: int
    task: trio.lowlevel.Task
    error: LogEnded | None = None


class EventLog:
    """One writer's log, made by `open_log` or `open_over`.

    All methods belong to the event loop's thread. `committer` makes durable what is queued; a
    simulation has one without a thread.
    """

    def __init__(
        self,
        journal: Journal,
        recovered: Recovered,
        options: LogOptions,
        committer: Callable[[Journal, OnDurable, OnFailure], Commits] = Committer,
    ) -> None:
        self.log_id = str(journal.log_id)
        self.node_id = options.node_id
        self.epoch = journal.epoch
        self._journal = journal
        self._clock = options.clock
        self.first = recovered.first
        """The oldest position that was not archived."""
        self._versions = recovered.versions
        self._repairs = recovered.repairs
        self._edge = recovered.tree.encode() if recovered.tree else b""
        self._next = self._began = recovered.head + 1
        self._recorded_at = max(1, recovered.recorded_at)
        self._queued: deque[_Append] = deque()
        self._queued_bytes = 0
        self._room = trio.lowlevel.ParkingLot()
        self._ended: Callable[[], LogEnded] | None = None
        self._feed = Feed(journal, recovered.head)
        self._committer = committer(journal, self._on_durable, self._on_failure)

    @property
    def head(self) -> int:
        """The last durable position; 0 for an empty log."""
        return self._feed.head

    @property
    def spare(self) -> Spare:
        """MISSING when the disk is too full for another segment: keep what is left for exits."""
        return self._journal.spare

    def version(self, stream: str) -> int:
        """The stream's version, counting what is queued; 0 where there is no such stream."""
        return self._versions[stream]

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[str, int] = {}
    ) -> tuple[Record, ...]:
        """Append all events or none, and return when they are durable.

        `expected` names the versions that streams must have now. Waits, and may be cancelled,
        while the queue is full; once queued it can no longer be cancelled.

        Raises WrongExpectedVersion, EventTooLarge, BatchTooLarge or InvalidEvent: nothing was
        written. Raises LogPoisoned when a write failed: opening the log again tells whether these
        events are in it. Raises LogClosed.
        """
        for event in events:
            _check_not_reserved(event)
        return await self._append(events, expected)

    def read(self, after: int = 0, *, stream: str | None = None) -> Reader:
        """Events after a position, up to the head of this moment. Raises PositionInFuture."""
        return Reader(self._feed, after, stream)

    def subscribe(self, after: int = 0) -> Subscription:
        """All events after a position, with one `CaughtUp` marker, then live, without end.

        Raises PositionInFuture.
        """
        return Subscription(self._feed, after)

    async def append_base(self, state: bytes, below: int) -> None:
        """Append what lets a log begin at position `below` or here, with the folded `state`.

        It is whole once this returns; `drop_segments` may then take what lies before. Must come
        before anything else is appended. Raises BaseTooLate.
        """
        if self._next != self._began:
            raise BaseTooLate
        base = Base(self._versions.packed(), self._repairs, state, self._edge)
        events = base_events(base, min(below, self._next))
        for start in range(0, len(events), PARTS_PER_APPEND):
            await self._append(events[start : start + PARTS_PER_APPEND], {})

    async def record_repairs(self, repairs: Sequence[Repair]) -> None:
        """Append one `log.repaired.v1` for each unfinished write that was cut."""
        if repairs:
            await self._append([_repaired(repair) for repair in repairs], {})
        self._repairs += tuple(repair.kept_as for repair in repairs)
        self._began = self._next

    async def close(self) -> None:
        """Commit what is queued, then stop. Readers get LogClosed."""
        await self._committer.stop()
        self._end(LogClosed)

    async def _append(
        self, events: Sequence[NewEvent], expected: Mapping[str, int]
    ) -> tuple[Record, ...]:
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._is_full() and self._ended is None:
            await self._room.park()
        if self._ended is not None:
            raise self._ended()
        for stream, version in expected.items():
            if self.version(stream) != version:
                raise WrongExpectedVersion(stream, version, self.version(stream))
        if not events:
            return ()
        append = self._enqueue(events)
        await trio.lowlevel.wait_task_rescheduled(_never_abort)
        if append.error is not None:
            raise append.error
        return append.records

    def _is_full(self) -> bool:
        return self._queued_bytes >= QUEUE_BYTES or len(self._queued) >= QUEUE_APPENDS

    def _enqueue(self, events: Sequence[NewEvent]) -> _Append:
        """Give the events their places and queue them, or refuse them and change nothing."""
        recorded_at = max(self._clock(), self._recorded_at)
        versions: dict[str, int] = {}
        records: list[Record] = []
        encoded: list[bytes] = []
        for position, event in enumerate(events, self._next):
            version = (versions.get(event.stream) or self._versions[event.stream]) + 1
            placed, raw = record.place(event, position, version, recorded_at, self.epoch)
            if len(raw) >= EVENT_LIMIT:
                raise EventTooLarge(event.type, len(raw), EVENT_LIMIT)
            versions[event.stream] = version
            records.append(placed)
            encoded.append(raw)
        part = Part(self._next, len(encoded), recorded_at, b"".join(encoded))
        self._check_fits(part)
        append = _Append(tuple(records), len(part.events), trio.lowlevel.current_task())
        self._versions.update(versions)
        self._next += part.count
        self._recorded_at = recorded_at
        self._queued.append(append)
        self._queued_bytes += append.size
        self._committer.put(part)
        return append

    def _check_fits(self, part: Part) -> None:
        if part.count > self._journal.max_batch_events:
            raise BatchTooLarge(part.count, self._journal.max_batch_events, "events")
        if len(part.events) > self._journal.max_batch_bytes:
            raise BatchTooLarge(len(part.events), self._journal.max_batch_bytes, "bytes")

    def _on_durable(self, appends: int) -> None:
        records: list[Record] = []
        size = 0
        for _ in range(appends):
            append = self._queued.popleft()
            records += append.records
            size += append.size
            trio.lowlevel.reschedule(append.task)
        self._queued_bytes -= size
        self._feed.publish(records, size)
        self._room.unpark_all()

    def _on_failure(self, cause: BaseException) -> None:
        self._end(partial(LogPoisoned, cause))

    def _end(self, error: Callable[[], LogEnded]) -> None:
        if self._ended is not None:
            return
        self._ended = error
        for append in self._queued:
            append.error = error()
            trio.lowlevel.reschedule(append.task)
        self._queued.clear()
        self._feed.end(error)
        self._room.unpark_all()


def _never_abort(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


def _check_not_reserved(event: NewEvent) -> None:
    if event.stream == LOG_STREAM or event.type.startswith(LOG_TYPE_PREFIX):
        raise InvalidEvent(event.type, "stream 'log' and types 'log.*' belong to the log itself")
    if not event.stream or not event.type:
        raise InvalidEvent(event.type, "stream and type must not be empty")


def _repaired(repair: Repair) -> NewEvent:
    return NewEvent(
        stream=LOG_STREAM,
        type=REPAIRED,
        payload=msgspec.msgpack.encode(repair),
        event_id=repair.kept_as,
    )
