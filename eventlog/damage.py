"""What stands after the last sound frame of a segment: nothing, a footer, a torn write, or damage.

At most one frame is in flight, disks write a sector whole or not at all, segments are zero-filled
beforehand, and no sector of a frame is all zero. So a torn write shows at least one sector in which
the frame's bytes are all zero, and has nothing after it. Everything else was damaged later, and is
never cut.
"""

import enum
from collections.abc import Iterator

import msgspec

from eventlog import frame, segment
from eventlog.errors import CorruptLog
from eventlog.frame import SECTOR, FrameHeader
from eventlog.storage import File

_CHUNK = 1024 * 1024
"""Bytes looked at in one read: memory stays small whatever the segment's size."""

_ZEROS = bytes(_CHUNK)

_MAX_TORN = frame.frame_size(frame.MAX_BODY)


class Ending(enum.Enum):
    """How a segment ends."""

    SEALED = "sealed"
    OPEN = "open"
    TORN = "torn"


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where the next frame must be: its offset, first position and previous chain."""

    offset: int
    position: int
    chain: bytes


class Tail(msgspec.Struct, frozen=True):
    """How a segment ends.

    `torn` bytes of an unfinished write follow the last frame, or `unused` bytes the footer.
    """

    ending: Ending
    torn: int = 0
    unused: int = 0


def judge(file: File, header: segment.SegmentHeader, place: Place, frames: int) -> Tail:
    """Tell what follows the last sound frame. Raises CorruptLog where it is damage."""
    size = file.size()
    footer = segment.decode_footer(file.pread(segment.FOOTER_SIZE, place.offset))
    if footer is not None:
        if footer.frames != frames:
            raise _corrupt(header, place, "the footer contradicts the frames")
        return _sealed(file, header, place, footer)
    if size != header.allocated:
        raise _corrupt(header, place, _why_not_whole(file, header, place, size))
    end = _end_of_data(file, place.offset, size)
    if end == place.offset:
        return Tail(Ending.OPEN)
    why = _why_not_torn(file, place, end)
    if why:
        raise _corrupt(header, place, why)
    return Tail(Ending.TORN, end - place.offset)


def _sealed(
    file: File, header: segment.SegmentHeader, place: Place, footer: segment.Footer
) -> Tail:
    said = (footer.first, footer.last + 1, footer.offset, footer.chain)
    if said != (header.first, place.position, place.offset, place.chain):
        raise _corrupt(header, place, "the footer contradicts the frames")
    end = place.offset + segment.FOOTER_SIZE
    size = file.size()
    # A crash between the footer and the cut leaves the file at its full length.
    if size not in (end, header.allocated) or _end_of_data(file, end, size) != end:
        raise _corrupt(header, place, "something follows the footer")
    return Tail(Ending.SEALED, unused=size - end)


def _why_not_whole(file: File, header: segment.SegmentHeader, place: Place, size: int) -> str:
    """What is wrong with a file of another length than an open segment has."""
    left = size - place.offset
    if left == segment.FOOTER_SIZE:
        return "the footer does not match its checksum"
    if left >= frame.HEADER_SIZE:
        found = frame.decode_header(file.pread(frame.HEADER_SIZE, place.offset))
        if found is None:
            return "a frame's header does not match its checksum"
        if found.size <= left:
            return "a frame does not match its checksum"
    return f"the file has {size} bytes instead of {header.allocated}"


def _why_not_torn(file: File, place: Place, end: int) -> str:
    start = file.pread(frame.HEADER_SIZE, place.offset)
    header = frame.decode_header(start)
    if header is not None:
        return _why_not_torn_span(file, place, end, header.size, header)
    if segment.starts_footer(start):
        return _why_not_torn_span(file, place, end, segment.FOOTER_SIZE, None)
    if end - place.offset > _MAX_TORN:
        return "there is more than one unfinished write"
    if not any(_is_zero(file, *piece) for piece in _header_sectors(place.offset)):
        return "a frame's header does not match its checksum"
    if _sound_frame_follows(file, place, end):
        return "a frame is missing before a sound one"
    return ""


def _why_not_torn_span(
    file: File, place: Place, end: int, size: int, header: FrameHeader | None
) -> str:
    if header is not None and header.first != place.position:
        return f"the frame here begins with event {header.first}"
    if end > place.offset + size:
        return "a damaged frame is followed by other bytes"
    if not any(_is_zero(file, *piece) for piece in _sectors(place.offset, place.offset + size)):
        return "a frame does not match its checksum"
    return ""


def _sectors(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of [start, end) that lie in one sector each."""
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        yield start, stop
        start = stop


def _header_sectors(offset: int) -> Iterator[tuple[int, int]]:
    """The sectors that the header touches, each to its end, as nothing lies after the frame."""
    for start, stop in _sectors(offset, offset + frame.HEADER_SIZE):
        yield start, stop - stop % -SECTOR


def _sound_frame_follows(file: File, place: Place, end: int) -> bool:
    data = file.pread(end - place.offset, place.offset)
    for at in range(8, len(data) - frame.HEADER_SIZE + 1, 8):
        header = frame.decode_header(data[at : at + frame.HEADER_SIZE])
        if header is None:
            continue
        trailer = data[at + header.size - frame.TRAILER_SIZE : at + header.size]
        if frame.trailer_chain(trailer, header.length) is not None:
            return True
    return False


def _is_zero(file: File, start: int, stop: int) -> bool:
    return not any(file.pread(stop - start, start))


def _end_of_data(file: File, offset: int, size: int) -> int:
    """The offset after the last byte that is not zero, or `offset` where there is none."""
    while size > offset:
        start = max(offset, size - _CHUNK)
        data = file.pread(size - start, start)
        if data != _ZEROS[: len(data)]:  # many times faster than stripping them
            return start + len(data.rstrip(b"\0"))
        size = start
    return offset


def _corrupt(header: segment.SegmentHeader, place: Place, why: str) -> CorruptLog:
    return CorruptLog(place.position, place.offset, header.name, why)
