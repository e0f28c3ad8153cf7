"""Reading segments from front to back, checking every byte on the way.

`walk_log` gives one `SegmentWalk` per segment; iterating a walk gives its sound frames, and
`finish` says how the segment ends or raises. Used by recovery, verification and reading alike.
"""

import time
from collections.abc import Iterator

import msgspec

from eventlog import frame, record, segment
from eventlog.archive import FoundBase, bases
from eventlog.damage import Ending, Place, Tail, judge
from eventlog.errors import CorruptLog, ForeignSegment, PositionArchived
from eventlog.frame import BadFrame, Frame, FrameHeader
from eventlog.record import Record
from eventlog.segment import SegmentHeader
from eventlog.storage import File, Storage

_WINDOW = 1024 * 1024
"""Bytes of one read: some thousands of usual events, and little memory."""


_SETTLE_SECONDS = 0.001
"""Between two looks; copying the largest frame into the page cache takes less."""


class _Window:
    """A file read in large pieces, because a read per frame costs more than its checks."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._start = 0
        self._data = b""

    def read(self, length: int, offset: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            self._data = self._file.pread(max(length, _WINDOW), offset)
            self._start, at = offset, 0
        return self._data[at : at + length]


class Start(msgspec.Struct, frozen=True):
    """A place known to be sound: in the segment that begins with position `segment`, after some
    frames.
    """

    segment: int
    place: Place
    frames: int


class SegmentWalk:
    """One pass over a segment's frames, from its first or from a `place` known to be sound.

    Beside a live writer what looks like damage may be a write under way, so a reader without the
    lock takes several `looks` before it believes it.
    """

    def __init__(
        self,
        file: File,
        header: SegmentHeader,
        place: Place | None = None,
        looks: int = 1,
        frames: int = 0,
    ) -> None:
        self.header = header
        self.place = place or Place(segment.HEADER_SIZE, header.first, header.chain)
        self.frames = frames
        self._file = file
        self._window = _Window(file)
        self._looks = looks
        self._tail: Tail | None = None

    def __iter__(self) -> Iterator[Frame]:
        while self._tail is None:
            sound = self.next_frame()
            if sound is None:
                self._window = _Window(self._file)
                sound = self.next_frame()
            if sound is not None:
                yield sound
            else:
                self._tail = self._judged()

    def skip(self, after: int) -> None:
        """Pass over frames that end at or before `after`, trusting their headers."""
        while (header := self._header()) is not None and header.last <= after:
            trailer = self._window.read(
                frame.TRAILER_SIZE, self.place.offset + header.size - frame.TRAILER_SIZE
            )
            chain = frame.trailer_chain(trailer, header.length)
            if chain is None:
                return
            self._advance(header, chain)

    def finish(self) -> Tail:
        """Pass over the rest and tell how the segment ends. Raises CorruptLog."""
        for _ in self:
            pass
        assert self._tail is not None
        return self._tail

    def next_frame(self) -> Frame | None:
        """The frame at `place`, or None where there is no sound one. Passes no judgement."""
        header = self._header()
        if header is None:
            return None
        offset = self.place.offset
        rest = self._window.read(header.size - frame.HEADER_SIZE, offset + frame.HEADER_SIZE)
        try:
            sound = frame.decode_frame(offset, header, rest, self.place.chain)
        except BadFrame:
            return None
        self._advance(header, sound.chain)
        return sound

    def _judged(self) -> Tail | None:
        """How the segment ends; None where that should be looked at again."""
        self._looks -= 1
        try:
            return judge(self._file, self.header, self.place, self.frames)
        except CorruptLog:
            if self._looks <= 0:
                raise
        time.sleep(_SETTLE_SECONDS)
        return None

    def _header(self) -> FrameHeader | None:
        header = frame.decode_header(self._window.read(frame.HEADER_SIZE, self.place.offset))
        if header is None or header.first != self.place.position:
            return None
        return header

    def _advance(self, header: FrameHeader, chain: bytes) -> None:
        self.frames += 1
        self.place = Place(self.place.offset + header.size, header.last + 1, chain)


def segment_names(storage: Storage) -> list[str]:
    """The segments, oldest first."""
    return [name for name in storage.names() if segment.is_segment_name(name)]


def oldest_position(storage: Storage) -> int:
    """The first position that was not archived; 1 in an empty directory."""
    return next(map(segment.first_position, segment_names(storage)), 1)


def name_holding(names: list[str], position: int) -> int:
    """The index of the segment that must hold this position."""
    starts = [segment.first_position(name) for name in names]
    return max((at for at, start in enumerate(starts) if start <= position), default=0)


def read_header(file: File, name: str) -> SegmentHeader:
    """The segment's checked header. Raises what `segment.decode_header` raises."""
    return segment.decode_header(file.pread(segment.HEADER_SIZE, 0), name)


def walk_log(
    storage: Storage, after: int = 0, looks: int = 1, start: Start | None = None
) -> Iterator[SegmentWalk]:
    """One walk per segment, from the one that holds event `after + 1`, or from `start`.

    A walk is finished when the next is asked for. A log whose beginning was archived begins with
    its first segment. Raises CorruptLog, ForeignSegment or UnsupportedFormat at the first segment
    that is not sound or does not follow its predecessor, PositionArchived for an `after` beyond 0
    that was archived.
    """
    names = segment_names(storage)
    index = name_holding(names, (start.segment if start else after + 1))
    previous: SegmentWalk | None = None
    for name in names[index:]:
        file = storage.open(name)
        try:
            header = read_header(file, name)
            if start is not None and previous is None:
                walk = SegmentWalk(file, header, start.place, looks, start.frames)
            else:
                walk = SegmentWalk(file, header, looks=looks)
                _check_follows(storage, header, previous, after)
            yield walk
            _check_ending(walk, names[-1])
            previous = walk
        finally:
            file.close()


def find_base(storage: Storage, first: int) -> FoundBase | None:
    """The base that lets a log begin at position `first`, or None.

    Reads the first events of each segment only. What is damaged there holds no base.
    """
    names = segment_names(storage)
    for index in range(len(names)):
        for found in bases(_sound_events(storage, names[index:])):
            if found.below >= first:
                return found
    return None


def _sound_events(storage: Storage, names: list[str]) -> Iterator[Record]:
    for name in names:
        file = storage.open(name)
        try:
            walk = SegmentWalk(file, read_header(file, name))
            while (sound := walk.next_frame()) is not None:
                yield from record.decode(sound.body)
        except (CorruptLog, ForeignSegment, msgspec.DecodeError):
            return
        finally:
            file.close()


def _check_beginning(storage: Storage, header: SegmentHeader, after: int) -> None:
    if header.first == 1:
        if header.chain != segment.first_chain(header.log_id):
            raise ForeignSegment(header.name, "its chain does not begin with its log's id")
    elif header.first > after + 1:
        if find_base(storage, header.first) is None:
            raise ForeignSegment(
                header.name, f"events from {after + 1} to {header.first - 1} are missing"
            )
        if after > 0:
            raise PositionArchived(after, header.first)


def _check_follows(
    storage: Storage, header: SegmentHeader, previous: SegmentWalk | None, after: int
) -> None:
    if previous is None:
        _check_beginning(storage, header, after)
        return
    if header.log_id != previous.header.log_id:
        raise ForeignSegment(
            header.name, f"it is of log {header.log_id}, not {previous.header.log_id}"
        )
    if header.first != previous.place.position:
        raise ForeignSegment(
            header.name, f"events from {previous.place.position} to {header.first - 1} are missing"
        )
    if header.chain != previous.place.chain:
        raise ForeignSegment(header.name, "it continues another history")
    if header.epoch < previous.header.epoch:
        raise ForeignSegment(
            header.name,
            f"a stale writer made it in epoch {header.epoch}, after {previous.header.epoch}",
        )


def _check_ending(walk: SegmentWalk, last: str) -> None:
    if walk.finish().ending is not Ending.SEALED and walk.header.name != last:
        raise CorruptLog(
            walk.place.position, walk.place.offset, walk.header.name, "it ends without a footer"
        )
