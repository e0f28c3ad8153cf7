"""The bytes round the frames: segment header, segment footer, file names, and the tip.

All integers are little-endian. Magic, version and the checksum's place at the header's end are the
same in every format version, so an older reader can tell "newer" from "damaged".
"""

import hashlib
import struct
import uuid

import google_crc32c
import msgspec

from eventlog.errors import CorruptLog, ForeignSegment, UnsupportedFormat

FORMAT_VERSION = 1
HEADER_SIZE = 512
"""One sector: a disk writes it whole or not at all."""

FOOTER_SIZE = 128
TIP_SIZE = 80
TIP_NAME = "tip"
SPARE_NAME = "spare.tmp"
NODE_ID_LIMIT = 128

_CRC32C, _SHA256, _MSGPACK = 1, 1, 1
_ALGORITHMS = (_CRC32C, _SHA256, _MSGPACK)
_HEADER_MAGIC = b"\x89EVLOG\r\n"
_FOOTER_MAGIC = b"\x89EVEND\r\n"
_TIP_MAGIC = b"\x89EVTIP\r\n"
_END_MAGIC = 0x444E4553  # "SEND"
_HEADER = struct.Struct("<8sHBBBxH16sQQ32sQQ128s")
_FOOTER = struct.Struct("<8sQQQQ32sQ32sQ")
_FOOTER_END = struct.Struct("<II")
_TIP = struct.Struct("<8s16sQQ32s4x")


class SegmentHeader(msgspec.Struct, frozen=True):
    """What the first sector of a segment says."""

    log_id: uuid.UUID
    node_id: str
    epoch: int
    first: int
    chain: bytes
    allocated: int
    created_at: int

    @property
    def name(self) -> str:
        """The file's name: the first position, so that sorting names sorts segments."""
        return segment_name(self.first)


class Footer(msgspec.Struct, frozen=True):
    """What seals a segment. `tree_size` and `tree_root` are zero where no tree was kept."""

    first: int
    last: int
    frames: int
    offset: int
    chain: bytes
    sealed_at: int
    tree_size: int = 0
    tree_root: bytes = bytes(32)


class Tip(msgspec.Struct, frozen=True):
    """The last acknowledged position. It may lag behind the log, never lead it."""

    log_id: uuid.UUID
    epoch: int
    position: int
    chain: bytes


def segment_name(first: int) -> str:
    """The name of the segment that begins with this position."""
    return f"{first:020}.log"


def first_position(name: str) -> int:
    """The position that a segment's name says it begins with."""
    return int(name[:20])


def is_segment_name(name: str) -> bool:
    """Whether a directory entry is a segment."""
    return len(name) == 24 and name.endswith(".log") and name[:20].isdecimal() and name.isascii()


def first_chain(log_id: uuid.UUID) -> bytes:
    """The chain before the first frame; it binds every frame to its log."""
    return hashlib.sha256(log_id.bytes).digest()


def encode_header(header: SegmentHeader) -> bytes:
    """The first sector of a segment."""
    packed = _HEADER.pack(
        _HEADER_MAGIC,
        FORMAT_VERSION,
        *_ALGORITHMS,
        HEADER_SIZE,
        header.log_id.bytes,
        header.epoch,
        header.first,
        header.chain,
        header.allocated,
        header.created_at,
        header.node_id.encode(),
    )
    return _with_crc(packed + bytes(HEADER_SIZE - 4 - len(packed)))


def decode_header(data: bytes, name: str) -> SegmentHeader:
    """Check the first sector of the segment `name`.

    Raises CorruptLog, UnsupportedFormat, or ForeignSegment when the file was renamed.
    """
    if len(data) != HEADER_SIZE or not data.startswith(_HEADER_MAGIC) or not _crc_holds(data):
        raise CorruptLog(int(name[:20]), 0, name, "the segment header does not match its checksum")
    _, version, crc, digest, codec, size, *rest = _HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise UnsupportedFormat(name, f"format version {version} (known: {FORMAT_VERSION})")
    if (crc, digest, codec) != _ALGORITHMS or size != HEADER_SIZE:
        raise UnsupportedFormat(name, f"algorithms {crc}, {digest}, {codec}")
    log_id, epoch, first, chain, allocated, created_at, node_id = rest
    if segment_name(first) != name:
        raise ForeignSegment(name, f"it was written as {segment_name(first)}")
    return SegmentHeader(
        log_id=uuid.UUID(bytes=log_id),
        node_id=node_id.rstrip(b"\0").decode(),
        epoch=epoch,
        first=first,
        chain=chain,
        allocated=allocated,
        created_at=created_at,
    )


def encode_footer(footer: Footer) -> bytes:
    """The last bytes of a sealed segment."""
    packed = _FOOTER.pack(
        _FOOTER_MAGIC,
        footer.first,
        footer.last,
        footer.frames,
        footer.offset,
        footer.chain,
        footer.tree_size,
        footer.tree_root,
        footer.sealed_at,
    )
    return packed + _FOOTER_END.pack(google_crc32c.value(packed), _END_MAGIC)


def decode_footer(data: bytes) -> Footer | None:
    """The footer in `data`, or None where these bytes are none."""
    if len(data) != FOOTER_SIZE or not starts_footer(data):
        return None
    packed, end = data[: _FOOTER.size], data[_FOOTER.size :]
    if end != _FOOTER_END.pack(google_crc32c.value(packed), _END_MAGIC):
        return None
    _, first, last, frames, offset, chain, tree_size, tree_root, sealed_at = _FOOTER.unpack(packed)
    return Footer(first, last, frames, offset, chain, sealed_at, tree_size, tree_root)


def starts_footer(data: bytes) -> bool:
    """Whether these bytes begin like a footer. No frame does: its length would be too large."""
    return data.startswith(_FOOTER_MAGIC)


def encode_tip(tip: Tip) -> bytes:
    """The whole tip file."""
    return _with_crc(_TIP.pack(_TIP_MAGIC, tip.log_id.bytes, tip.epoch, tip.position, tip.chain))


def decode_tip(data: bytes) -> Tip | None:
    """The tip, or None: it is never synced, so damage to it proves nothing."""
    if len(data) != TIP_SIZE or not data.startswith(_TIP_MAGIC) or not _crc_holds(data):
        return None
    _, log_id, epoch, position, chain = _TIP.unpack_from(data)
    return Tip(uuid.UUID(bytes=log_id), epoch, position, chain)


def _with_crc(data: bytes) -> bytes:
    checksum: int = google_crc32c.value(data)
    return data + checksum.to_bytes(4, "little")


def _crc_holds(data: bytes) -> bool:
    return _with_crc(data[:-4]) == data
