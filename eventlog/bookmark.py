"""A place in the log from which work can go on without what is before it: the log's half of a
snapshot.

A bookmark is a claim, never a proof. It is taken only where the segment's own bytes say the same
chain at the same place, and all segments before it follow each other by their headers and footers.
What it says of streams is protected by its keeper's digest; a full verification reads everything.
"""

import uuid
from itertools import pairwise

import msgspec

from eventlog import frame, segment
from eventlog.damage import Place
from eventlog.errors import BookmarkUnfit, CorruptLog, ForeignSegment
from eventlog.segment import Footer, SegmentHeader
from eventlog.storage import Storage
from eventlog.walk import Start, find_base, read_header, segment_names


class Bookmark(msgspec.Struct, frozen=True):
    """The end of a commit. `position` is the last event before it, `segment` the first position of
    the segment that it lies in, `offset` the next frame's place there, after `frames` frames.

    `versions` is the packed table of all streams, `repairs` the kept files that were logged,
    `tree` the hash tree's edge, where one is kept.
    """

    log_id: uuid.UUID
    position: int
    chain: bytes
    recorded_at: int
    segment: int
    offset: int
    frames: int
    versions: bytes
    repairs: tuple[str, ...] = ()
    tree: bytes = b""

    @property
    def start(self) -> Start:
        """Where a walk goes on."""
        place = Place(self.offset, self.position + 1, self.chain)
        return Start(self.segment, place, self.frames)


def check_bookmark(storage: Storage, bookmark: Bookmark) -> None:
    """Raise BookmarkUnfit, saying why, where the log's bytes do not agree with a bookmark."""
    try:
        why = _why_unfit(storage, bookmark)
    except (OSError, CorruptLog, ForeignSegment) as error:
        why = str(error)
    if why:
        raise BookmarkUnfit(why)


def _why_unfit(storage: Storage, bookmark: Bookmark) -> str:
    name = segment.segment_name(bookmark.segment)
    names = segment_names(storage)
    if name not in names:
        return f"there is no segment {name}"
    upto = names[: names.index(name) + 1]
    headers = [_header(storage, each) for each in upto]
    return (
        _why_not_here(storage, headers[-1], bookmark)
        or _why_not_first(storage, headers[0])
        or _why_broken(storage, headers)
    )


def _why_not_here(storage: Storage, header: SegmentHeader, bookmark: Bookmark) -> str:
    if header.log_id != bookmark.log_id:
        return f"it is of log {bookmark.log_id}"
    at_first = bookmark.offset == segment.HEADER_SIZE
    chain = header.chain if at_first else _chain_before(storage, header, bookmark.offset)
    if chain != bookmark.chain or (at_first and header.first != bookmark.position + 1):
        return f"the log has another history, or none, at position {bookmark.position}"
    return ""


def _chain_before(storage: Storage, header: SegmentHeader, offset: int) -> bytes | None:
    file = storage.open(header.name)
    try:
        start = max(0, offset - frame.TRAILER_SIZE)
        return frame.trailer_chain(file.pread(frame.TRAILER_SIZE, start), None)
    finally:
        file.close()


def _why_not_first(storage: Storage, header: SegmentHeader) -> str:
    if header.first == 1:
        whole = header.chain == segment.first_chain(header.log_id)
        return "" if whole else "the log's beginning is of another log"
    found = find_base(storage, header.first)
    return "" if found else f"events before {header.first} are missing"


def _why_broken(storage: Storage, headers: list[SegmentHeader]) -> str:
    for header, following in pairwise(headers):
        footer = _footer(storage, header)
        if footer is None:
            return f"{header.name} ends without a footer"
        ends = (footer.first, footer.last + 1, footer.chain, header.log_id)
        begins = (header.first, following.first, following.chain, following.log_id)
        if ends != begins or header.epoch > following.epoch:
            return f"{following.name} does not follow {header.name}"
    return ""


def _header(storage: Storage, name: str) -> SegmentHeader:
    file = storage.open(name)
    try:
        return read_header(file, name)
    finally:
        file.close()


def _footer(storage: Storage, header: SegmentHeader) -> Footer | None:
    file = storage.open(header.name)
    try:
        data = file.pread(segment.FOOTER_SIZE, max(0, file.size() - segment.FOOTER_SIZE))
        return segment.decode_footer(data)
    finally:
        file.close()
