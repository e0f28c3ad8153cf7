"""Writing one segment: from the spare file, frame by frame, to its seal.

Orders that crashes depend on: a spare is zeroed and synced before it is used; a header is synced
before its segment gets its name; a footer is synced before the file is cut behind it.
"""

from eventlog import frame, segment
from eventlog.damage import Place
from eventlog.merkle import HASH_SIZE, Frontier
from eventlog.segment import SPARE_NAME, Footer, SegmentHeader
from eventlog.storage import File, Storage

_ZEROS = bytes(1024 * 1024)
"""Written again and again to fill a spare; one piece bounds the memory."""


class SegmentWriter:
    """The end of one segment; its owner alone writes to the file."""

    def __init__(self, file: File, header: SegmentHeader, place: Place, frames: int) -> None:
        self.header = header
        self.place = place
        self._file = file
        self._frames = frames

    def fits(self, length: int) -> bool:
        """Whether a frame with this many body bytes leaves room for the footer."""
        end = self.place.offset + frame.frame_size(length) + segment.FOOTER_SIZE
        return end <= self.header.allocated

    def append(self, body: bytes, count: int, recorded_at: int) -> None:
        """Write one frame; durable on return. After an OSError the file must not be used."""
        data, chain = frame.encode_frame(
            body,
            first=self.place.position,
            count=count,
            recorded_at=recorded_at,
            previous=self.place.chain,
            offset=self.place.offset,
        )
        self._file.pwrite(data, self.place.offset)
        self._file.fdatasync()
        self._frames += 1
        self.place = Place(self.place.offset + len(data), self.place.position + count, chain)

    def seal(self, sealed_at: int, tree: Frontier | None = None) -> None:
        """Write the footer, give the unused space back, and make the file read-only.

        `tree` is the hash tree up to the segment's last event, where it is known.
        """
        footer = Footer(
            first=self.header.first,
            last=self.place.position - 1,
            frames=self._frames,
            offset=self.place.offset,
            chain=self.place.chain,
            sealed_at=sealed_at,
            tree_size=tree.size if tree else 0,
            tree_root=tree.root if tree else bytes(HASH_SIZE),
        )
        self._file.pwrite(segment.encode_footer(footer), self.place.offset)
        self._file.fdatasync()
        self.finish_seal()

    def finish_seal(self) -> None:
        """What is left of `seal` once the footer is durable."""
        self._file.truncate(self.place.offset + segment.FOOTER_SIZE)
        self._file.make_read_only()
        self._file.fsync()

    def close(self) -> None:
        """Give the file back, sealed or not."""
        self._file.close()


def capacity(segment_bytes: int) -> int:
    """The largest frame body that fits into an empty segment of this size."""
    overhead = segment.HEADER_SIZE + segment.FOOTER_SIZE + frame.frame_size(0)
    return min(frame.MAX_BODY, segment_bytes - overhead)


def begin_segment(storage: Storage, header: SegmentHeader) -> SegmentWriter:
    """Turn the spare into the segment that this header describes."""
    file = storage.modify(SPARE_NAME)
    try:
        file.pwrite(segment.encode_header(header), 0)
        file.fsync()
        storage.rename(SPARE_NAME, header.name)
        storage.fsync_dir()
    except BaseException:
        file.close()
        raise
    place = Place(segment.HEADER_SIZE, header.first, header.chain)
    return SegmentWriter(file, header, place, frames=0)


def make_spare(storage: Storage, size: int) -> None:
    """Make a zero-filled file of `size` bytes, or raise OSError and leave none."""
    file = storage.create(SPARE_NAME)
    try:
        file.allocate(size)
        for offset in range(0, size, len(_ZEROS)):
            file.pwrite(_ZEROS[: size - offset], offset)
        file.fsync()
    except BaseException:
        storage.unlink(SPARE_NAME)
        raise
    finally:
        file.close()


def inherit_spare(storage: Storage, size: int) -> None:
    """Have a spare: that of an earlier life where it can be used, a new one otherwise."""
    try:
        file = storage.open(SPARE_NAME)
    except FileNotFoundError:
        make_spare(storage, size)
        return
    try:
        usable = file.size() == size and _is_zero_after_header(file, size)
    finally:
        file.close()
    if not usable:
        storage.unlink(SPARE_NAME)
        make_spare(storage, size)


def _is_zero_after_header(file: File, size: int) -> bool:
    return all(
        file.pread(len(_ZEROS), offset) == _ZEROS[: size - offset]
        for offset in range(segment.HEADER_SIZE, size, len(_ZEROS))
    )
