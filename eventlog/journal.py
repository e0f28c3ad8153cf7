"""The log's storage as its writer sees it, and the implementation over segment files.

`Journal` is the seam for another backend. Its methods block: `commit`, `prepare` and `close` are
called by one thread only, `read` by any thread.
"""

import enum
import errno
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

import msgspec

from eventlog import record, segment
from eventlog.bookmark import Bookmark
from eventlog.frame import MAX_COUNT
from eventlog.history import History
from eventlog.leaves import leaves_of
from eventlog.merkle import Frontier
from eventlog.record import Record
from eventlog.recovery import Recovered, recover
from eventlog.segment import TIP_NAME, SegmentHeader, Tip
from eventlog.storage import File, Lock, Storage
from eventlog.writer import SegmentWriter, begin_segment, capacity, inherit_spare, make_spare

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

_SPARE_TRIES = 16
"""Tries to make a spare while one segment fills: a failed try costs about one commit."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """The events of one append, encoded one after another; they are committed as a whole."""

    first: int
    count: int
    recorded_at: int
    events: bytes


class Spare(enum.Enum):
    """Whether the next segment's space is held already. MISSING: the disk is full.

    DUE: it was used a moment ago, and the next one is being made.
    """

    HELD = "held"
    DUE = "due"
    MISSING = "missing"


class Journal(Protocol):
    """Durable storage of events under one writer."""

    log_id: uuid.UUID
    epoch: int
    max_batch_bytes: int
    max_batch_events: int

    @property
    def spare(self) -> Spare:
        """Whether space for the time after a full disk is held."""

    def commit(self, parts: Sequence[Part]) -> None:
        """Append within the bounds above, atomically; durable on return. Then raises for ever."""

    def prepare(self) -> None:
        """Work that can wait until the waiters of a commit were woken."""

    def read(self, after: int, upto: int) -> Sequence[Record]:
        """Some events from `after + 1` on, none beyond `upto`; none only where there are none."""

    def close(self) -> None:
        """Give up files and lock. What is durable stays."""


class SegmentJournal:
    """The log of `docs/log-format.md` in one directory."""

    def __init__(
        self,
        storage: Storage,
        lock: Lock,
        writer: SegmentWriter,
        tip: File,
        clock: Callable[[], int],
        tree: Frontier | None,
    ) -> None:
        self.log_id = writer.header.log_id
        self.epoch = writer.header.epoch
        self.max_batch_bytes = capacity(writer.header.allocated) - len(record.body(MAX_COUNT, b""))
        self.max_batch_events = MAX_COUNT
        self._storage = storage
        self._lock = lock
        self._writer = writer
        self._tip = tip
        self._clock = clock
        self._spare = Spare.DUE
        self._next_try = 0
        self._tree = tree
        self._unhashed = b""
        self._history = History(storage)

    @property
    def spare(self) -> Spare:
        return self._spare

    def commit(self, parts: Sequence[Part]) -> None:
        self._lock.verify()
        count = sum(part.count for part in parts)
        body = record.body(count, b"".join([part.events for part in parts]))
        if not self._writer.fits(len(body)):
            self._roll_over()
        self._hash()
        self._writer.append(body, count, parts[-1].recorded_at)
        self._unhashed = body
        self.write_tip()

    def prepare(self) -> None:
        self._hash()
        if self._spare is Spare.HELD or self._writer.place.offset < self._next_try:
            return
        allocated = self._writer.header.allocated
        self._next_try = self._writer.place.offset + allocated // _SPARE_TRIES
        try:
            make_spare(self._storage, allocated)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            self._spare = Spare.MISSING
        else:
            self._spare = Spare.HELD

    def read(self, after: int, upto: int) -> Sequence[Record]:
        return self._history.read(after, upto)

    def close(self) -> None:
        self._writer.close()
        self._tip.close()
        self._lock.release()

    def write_tip(self) -> None:
        """Note what is acknowledged. Never synced: it may lag, and costs no commit time."""
        place = self._writer.place
        tip = Tip(self.log_id, self.epoch, place.position - 1, place.chain)
        self._tip.pwrite(segment.encode_tip(tip), 0)

    def _hash(self) -> None:
        """Add the last commit to the hash tree, where that was not done yet."""
        if self._unhashed and self._tree is not None:
            self._tree.extend(leaves_of(self._unhashed))
        self._unhashed = b""

    def _roll_over(self) -> None:
        full = self._writer
        self._hash()
        full.seal(self._clock(), self._tree)
        if self._spare is not Spare.HELD:
            make_spare(self._storage, full.header.allocated)
        header = msgspec.structs.replace(
            full.header,
            first=full.place.position,
            chain=full.place.chain,
            created_at=self._clock(),
        )
        self._writer = begin_segment(self._storage, header)
        self._spare = Spare.DUE
        self._next_try = 0
        full.close()


def open_journal(
    storage: Storage,
    node_id: str,
    segment_bytes: int,
    clock: Callable[[], int],
    start: Bookmark | None = None,
) -> tuple[SegmentJournal, Recovered]:
    """Take the lock, recover, and begin a segment of a new epoch."""
    storage.prepare()
    with ExitStack() as undo:
        lock = storage.lock()
        undo.callback(lock.release)
        recovered = recover(storage, clock(), start)
        inherit_spare(storage, segment_bytes)
        writer = begin_segment(storage, _next_epoch(recovered, node_id, segment_bytes, clock()))
        undo.callback(writer.close)
        tip = _open_tip(storage)
        undo.callback(tip.close)
        journal = SegmentJournal(storage, lock, writer, tip, clock, recovered.tree)
        journal.write_tip()
        journal.prepare()
        undo.pop_all()
    return journal, recovered


def _next_epoch(
    recovered: Recovered, node_id: str, segment_bytes: int, created_at: int
) -> SegmentHeader:
    log_id = recovered.log_id or uuid.uuid4()
    return SegmentHeader(
        log_id=log_id,
        node_id=node_id,
        epoch=recovered.epoch + 1,
        first=recovered.head + 1,
        chain=recovered.chain or segment.first_chain(log_id),
        allocated=segment_bytes,
        created_at=created_at,
    )


def _open_tip(storage: Storage) -> File:
    if TIP_NAME in storage.names():
        return storage.modify(TIP_NAME)
    return storage.create(TIP_NAME)
