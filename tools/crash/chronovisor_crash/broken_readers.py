"""Readers with one check left out.

Each is something done to the files before the real reader sees them: a reader that compares no
checksum reads what the real one would read if every checksum were made to fit.
"""

from collections.abc import Iterator

import google_crc32c
import msgspec

from eventlog import CorruptLog, EventLogError, frame, segment
from eventlog.audit import read_tip
from eventlog.offline import verify_storage
from eventlog.segment import TIP_NAME, SegmentHeader
from eventlog.storage import File, Storage
from eventlog.walk import segment_names

_CUTS = 16
"""Damages that a reader without judgement cuts in one log; every cut shortens it."""


def check_nothing(storage: Storage) -> None:
    """Make every checksum and chain fit the bytes that are there."""
    chain = b""
    for name in segment_names(storage):
        file = storage.modify(name)
        try:
            chain = _fit_segment(file, name, chain)
        except EventLogError:
            return  # A header that is no header: even this reader cannot go on.
        finally:
            file.close()
    tip = read_tip(storage)
    if tip is not None:
        _replace(
            storage.modify(TIP_NAME),
            segment.encode_tip(msgspec.structs.replace(tip, chain=chain)),
            0,
        )


def cut_anything(storage: Storage) -> None:
    """Take everything from the first damage on for an unfinished write, and ask no tip."""
    if TIP_NAME in storage.names():
        _replace(storage.modify(TIP_NAME), bytes(segment.TIP_SIZE), 0)
    for _ in range(_CUTS):
        try:
            for _ in verify_storage(storage):
                pass
        except CorruptLog as damage:
            if damage.offset < segment.HEADER_SIZE:
                return
            file = storage.modify(damage.path)
            _replace(file, bytes(max(0, file.size() - damage.offset)), damage.offset)
        except EventLogError:
            return
        else:
            return


def forget_the_tip(storage: Storage) -> None:
    """Read as if no tip had ever been written."""
    if TIP_NAME in storage.names():
        storage.unlink(TIP_NAME)
        storage.fsync_dir()


def _fit_segment(file: File, name: str, chain: bytes) -> bytes:
    header = segment.decode_header(file.pread(segment.HEADER_SIZE, 0), name)
    chain = chain or header.chain
    _write(file, segment.encode_header(msgspec.structs.replace(header, chain=chain)), 0)
    at = segment.HEADER_SIZE
    for data, after in _fitted(file, header, chain):
        _write(file, data, at)
        at, chain = at + len(data), after
    footer = segment.decode_footer(file.pread(segment.FOOTER_SIZE, at))
    if footer is not None:
        _write(file, segment.encode_footer(msgspec.structs.replace(footer, chain=chain)), at)
    file.fsync()
    return chain


def _fitted(file: File, header: SegmentHeader, chain: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each frame as its own header describes it, with the checksums that its bytes want."""
    at = segment.HEADER_SIZE
    while (found := _claimed_header(file.pread(frame.HEADER_SIZE, at))) is not None:
        stored = file.pread(
            found.size - frame.HEADER_SIZE - frame.TRAILER_SIZE, at + frame.HEADER_SIZE
        )
        body = _unmasked(stored, found.mask)[: found.length]
        data, chain = frame.encode_frame(
            body,
            first=found.first,
            count=found.count,
            recorded_at=found.recorded_at,
            previous=chain,
            offset=at,
        )
        if at + len(data) > file.size():
            return
        yield data, chain
        at += len(data)


def _claimed_header(data: bytes) -> frame.FrameHeader | None:
    checksum: int = google_crc32c.value(data[:28])
    return frame.decode_header(data[:28] + checksum.to_bytes(4, "little"))


def _unmasked(stored: bytes, mask: int) -> bytes:
    pattern = mask.to_bytes(2, "little") * (len(stored) // 2)
    return bytes(a ^ b for a, b in zip(stored, pattern, strict=True))


def _write(file: File, data: bytes, offset: int) -> None:
    if file.pread(len(data), offset) != data:
        file.pwrite(data, offset)


def _replace(file: File, data: bytes, offset: int) -> None:
    try:
        file.pwrite(data, offset)
        file.fsync()
    finally:
        file.close()
