"""What must hold beyond sound bytes: gapless positions and versions, and nothing acknowledged lost.

Recovery and verification fold the whole log through one `Audit`.
"""

import msgspec

from eventlog import record, segment
from eventlog.errors import CorruptLog, ForeignSegment
from eventlog.frame import Frame
from eventlog.record import Record
from eventlog.segment import Tip
from eventlog.storage import Storage
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
    """Folds frames in order; take the tip before reading them, as it may only lag behind."""

    def __init__(self, tip: Tip | None) -> None:
        self.head = 0
        self.versions: dict[str, int] = {}
        self.recorded_at = 0
        self._tip = tip
        self._tip_chain: bytes | None = None

    def check(self, walk: SegmentWalk, sound: Frame) -> list[Record]:
        """The frame's events. Raises CorruptLog."""
        records = self._decoded(walk, sound)
        for event in records:
            version = self.versions.get(event.stream, 0) + 1
            if (event.position, event.version) != (self.head + 1, version):
                raise _corrupt(walk, sound, f"event {event.position} is out of order")
            self.versions[event.stream] = version
            self.head += 1
        if self.head != sound.header.last:
            raise _corrupt(walk, sound, "the frame's header miscounts its events")
        if self._tip is not None and self._tip.position == self.head:
            self._tip_chain = sound.chain
        self.recorded_at = sound.header.recorded_at
        return records

    def conclude(self, last: SegmentWalk | None) -> None:
        """Compare with the tip after the last frame. Raises CorruptLog or ForeignSegment."""
        tip = self._tip
        if tip is None or tip.position == 0:
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


def _corrupt(walk: SegmentWalk, sound: Frame, why: str) -> CorruptLog:
    return CorruptLog(sound.header.first, sound.offset, walk.header.name, why)
