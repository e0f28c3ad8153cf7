"""What must hold beyond sound bytes: gapless positions and versions, and nothing acknowledged lost.

Recovery and verification fold the whole log through one `Audit`.
"""

from collections.abc import Callable

import msgspec

from eventlog import record, segment
from eventlog.archive import BaseReader
from eventlog.bookmark import Bookmark
from eventlog.errors import BookmarkUnfit, CorruptLog, ForeignSegment
from eventlog.frame import Frame
from eventlog.leaves import EdgeUnfit, LeafFold
from eventlog.merkle import Frontier
from eventlog.record import LOG_STREAM, Record
from eventlog.segment import Tip
from eventlog.storage import Storage
from eventlog.versions import StreamVersions
from eventlog.walk import SegmentWalk


def read_tip(storage: Storage) -> Tip | None:
    """The tip, or None where it is absent or damaged."""
    try:
        file = storage.open(segment.TIP_NAME)
    except FileNotFoundError:
        return None
    try:
        return segment.decode_tip(file.pread(segment.TIP_SIZE + 1, 0))
    finally:
        file.close()


class Audit:
    """Folds frames in order; take the tip before reading them, as it may only lag behind.

    From a bookmark on, what lies before it is taken from the bookmark. Where the log's beginning
    was archived, a stream may begin with any version until the base says what it must have been.
    Who keeps a tree of its own gives `tree=None`; then only a base's edge is checked here.
    """

    def __init__(
        self,
        tip: Tip | None,
        start: Bookmark | None = None,
        *,
        tree: Callable[[], Frontier] | None = Frontier,
    ) -> None:
        self.head = start.position if start else 0
        self.recorded_at = start.recorded_at if start else 0
        self.versions = StreamVersions(packed=start.versions if start else b"")
        self._first = self.head
        self._tip = tip
        self._tip_chain: bytes | None = start.chain if start and _is_at(tip, self.head) else None
        self._based: BaseReader | None = None
        self._leaves = LeafFold(tree() if tree else None)
        if start is not None:
            self._begin_tree(start)

    @property
    def tree(self) -> Frontier | None:
        """The hash tree over everything so far; None where its edge is not known."""
        return self._leaves.frontier

    def check(self, walk: SegmentWalk, sound: Frame) -> list[Record]:
        """The frame's events. Raises CorruptLog."""
        records = self._decoded(walk, sound)
        if self.head == 0 and walk.header.first > 1:
            self.head = self._first = walk.header.first - 1
            self._based = BaseReader()
            self._leaves.begin_before_edge(self.head)
        for position, event in enumerate(records, self.head + 1):
            known = self.versions[event.stream]
            follows = event.version == known + 1 or self._may_begin_anywhere(known)
            if event.position != position or not follows:
                raise _corrupt(walk, sound, f"event {event.position} is out of order")
            self.versions[event.stream] = event.version
            if self._based is not None and not self._meets_base(self._based, event):
                raise _corrupt(walk, sound, f"the base at {event.position} contradicts the events")
        self.head += len(records)
        if self.head != sound.header.last:
            raise _corrupt(walk, sound, "the frame's header miscounts its events")
        if _is_at(self._tip, self.head):
            self._tip_chain = sound.chain
        self.recorded_at = sound.header.recorded_at
        self.versions.settle()
        self._leaves.add(sound.body)
        return records

    def _begin_tree(self, start: Bookmark) -> None:
        try:
            self._leaves.begin_after(start.position, start.tree)
        except EdgeUnfit as error:
            raise BookmarkUnfit(f"its tree does not fit: {error}") from None

    def _may_begin_anywhere(self, known: int) -> bool:
        return self._based is not None and known == 0

    def _meets_base(self, reader: BaseReader, event: Record) -> bool:
        found = reader.take(event)
        if found is None or found.below <= self._first:
            return True
        told = StreamVersions(packed=found.base.versions)
        seen, self.versions = self.versions, told
        self._based = None
        agrees = told.agrees_with(seen, besides=LOG_STREAM)
        told[LOG_STREAM] = event.version
        try:
            self._leaves.meet(found.base.tree)
        except EdgeUnfit:
            return False
        return agrees

    def conclude(self, last: SegmentWalk | None) -> None:
        """Compare with the tip after the last frame. Raises CorruptLog or ForeignSegment."""
        tip = self._tip
        if tip is None or tip.position < max(1, self._first):
            return
        if last is None:
            raise ForeignSegment(segment.TIP_NAME, f"all {tip.position} events are missing")
        if tip.log_id != last.header.log_id:
            raise ForeignSegment(segment.TIP_NAME, f"it is of log {tip.log_id}")
        if tip.position > self.head:
            missing = f"{tip.position} events were acknowledged, {self.head} are here"
            raise CorruptLog(self.head + 1, last.place.offset, last.header.name, missing)
        if tip.chain != self._tip_chain:
            raise ForeignSegment(
                segment.TIP_NAME, f"another history was acknowledged up to event {tip.position}"
            )

    def _decoded(self, walk: SegmentWalk, sound: Frame) -> list[Record]:
        try:
            return record.decode(sound.body)
        except msgspec.DecodeError as error:
            raise _corrupt(walk, sound, f"its events cannot be decoded ({error})") from error


def _is_at(tip: Tip | None, position: int) -> bool:
    return tip is not None and tip.position == position


def _corrupt(walk: SegmentWalk, sound: Frame, why: str) -> CorruptLog:
    return CorruptLog(sound.header.first, sound.offset, walk.header.name, why)
