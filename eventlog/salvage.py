"""Reading what is sound in a damaged log: everything before a damage, and everything after it.

Nothing is repaired or guessed. An event that is given here passed the checksum of its frame and
the chain to its neighbours; what does not pass is passed over, and told. Behind a damage the chain
proves only that the frames there belong together, so this is for looking, not for an audit.
"""

import uuid
from collections.abc import Iterator
from contextlib import closing, suppress

import msgspec

from eventlog import frame, record, segment
from eventlog.audit import read_tip
from eventlog.damage import Place
from eventlog.errors import CorruptLog, EventLogError, ForeignSegment
from eventlog.frame import BadFrame, FrameHeader
from eventlog.record import Record
from eventlog.segment import SegmentHeader
from eventlog.storage import File, Storage
from eventlog.walk import SegmentWalk, read_header, segment_names

_REACH = 2 * frame.frame_size(frame.MAX_BODY)
"""How far behind a damage the next sound frame is looked for: a damaged frame hides itself and,
where its trailer was hit, its successor."""

_CHAIN = slice(-frame.TRAILER_SIZE, -frame.TRAILER_SIZE + 32)
"""Where a trailer keeps the chain, seen from the frame behind it."""


class Stretch(msgspec.Struct, frozen=True):
    """Events that can be read: those of one frame."""

    records: list[Record]


def salvage(storage: Storage) -> Iterator[Stretch | EventLogError]:
    """Every sound frame of the log, and an error, not raised, for each damage on the way.

    Raises UnsupportedFormat: a newer format is no damage.
    """
    beginning = _beginning(storage)
    end: Place | None = None
    for name in segment_names(storage):
        try:
            file = storage.open(name)
        except ForeignSegment as stranger:
            end = None
            yield stranger
            continue
        with closing(file):
            reading = _Segment(file, name, end, _stand_in(name, end or beginning))
            yield from reading.frames()
            end = reading.end


class _Segment:
    """One segment, read past its damages."""

    def __init__(
        self, file: File, name: str, before: Place | None, stand_in: SegmentHeader
    ) -> None:
        self._file = file
        self._name = name
        self._before = before
        self._walk = SegmentWalk(file, stand_in)
        self.end: Place | None = None
        """Where the next segment goes on; None where this one's end is damaged."""

    def frames(self) -> Iterator[Stretch | EventLogError]:
        try:
            header = read_header(self._file, self._name)
            self._walk = SegmentWalk(self._file, header)
            if self._before is not None and not _follows(header, self._before):
                yield ForeignSegment(self._name, "it does not continue the segment before it")
            yield from (Stretch(record.decode(sound.body)) for sound in self._walk)
            self.end = self._walk.place
        except (CorruptLog, ForeignSegment) as damage:
            yield damage
            yield from self._frames_behind()

    def _frames_behind(self) -> Iterator[Stretch | EventLogError]:
        while (place := next_place(self._file, self._walk.place)) is not None:
            self._walk = SegmentWalk(self._file, self._walk.header, place)
            while (sound := self._walk.next_frame()) is not None:
                yield Stretch(record.decode(sound.body))
            if self._ends():
                self.end = self._walk.place
                return
            at = self._walk.place
            yield CorruptLog(at.position, at.offset, self._name, "another frame is damaged")

    def _ends(self) -> bool:
        at = self._walk.place
        data = self._file.pread(segment.FOOTER_SIZE, at.offset)
        footer = segment.decode_footer(data)
        if footer is not None:
            return (footer.last + 1, footer.chain) == (at.position, at.chain)
        return not any(data)


def next_place(file: File, damaged: Place) -> Place | None:
    """Where the next sound frame behind a damaged one stands; None where there is none."""
    data = file.pread(_REACH, damaged.offset)
    for at, chain in _candidates(data, damaged):
        header = _header(data, at)
        if header is None or header.first < damaged.position:
            continue
        rest = data[at + frame.HEADER_SIZE : at + header.size]
        offset = damaged.offset + at
        try:
            frame.decode_frame(offset, header, rest, chain)
        except BadFrame:
            continue
        return Place(offset, header.first, chain)
    return None


def _candidates(data: bytes, damaged: Place) -> Iterator[tuple[int, bytes]]:
    """Places behind the damage, from its start, each with a chain that may go before it.

    The end that the damaged frame's header names comes first: its body may imitate frames.
    """
    start = 0
    yield 0, damaged.chain  # sound where it was the segment's header that is damaged
    header = _header(data, 0)
    if header is not None and header.first == damaged.position:
        start = header.size
        with suppress(BadFrame):  # only its trailer may be damaged
            body = frame.decode_body(header, data[frame.HEADER_SIZE :], damaged.chain)
            yield start, frame.next_chain(damaged.chain, body)
    for at in range(max(start, frame.TRAILER_SIZE), len(data) - frame.HEADER_SIZE + 1, 8):
        yield at, data[:at][_CHAIN]


def _header(data: bytes, at: int) -> FrameHeader | None:
    return frame.decode_header(data[at : at + frame.HEADER_SIZE])


def _follows(header: SegmentHeader, before: Place) -> bool:
    return (header.first, header.chain) == (before.position, before.chain)


def _beginning(storage: Storage) -> Place:
    """Where the log begins, as far as any segment or the tip still names the log."""
    for log_id in _log_ids(storage):
        return Place(segment.HEADER_SIZE, 1, segment.first_chain(log_id))
    return Place(segment.HEADER_SIZE, 1, b"")


def _log_ids(storage: Storage) -> Iterator[uuid.UUID]:
    for name in segment_names(storage):
        with suppress(EventLogError), closing(storage.open(name)) as file:
            yield read_header(file, name).log_id
    if (tip := read_tip(storage)) is not None:
        yield tip.log_id


def _stand_in(name: str, before: Place) -> SegmentHeader:
    """What is known of a segment whose header is damaged: its name, and what goes before it."""
    first = segment.first_position(name)
    return SegmentHeader(
        log_id=uuid.UUID(int=0),
        node_id="",
        epoch=0,
        first=first,
        chain=before.chain if before.position == first else b"",
        allocated=0,
        created_at=0,
    )
