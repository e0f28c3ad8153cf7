"""The bytes of one frame, which is one group commit.

    header   32  length u32, count u16, mask u16, first position u64, time u64,
                 CRC-32C u32 of (first 24 bytes, previous chain, body as stored),
                 CRC-32C u32 of (first 28 bytes)
    body         MessagePack array of events, zero-padded to 8, XORed with the repeated mask
    trailer  40  chain 32, length u32, magic u32

`chain = SHA-256(previous chain, body)` over the body without mask and padding. The first CRC is
seeded with the previous chain, so a stale, moved or spliced frame cannot pass; the chain in the
trailer lets a reader start at any frame and go on after a damaged one.

No 512-byte sector of a frame is ever all zero: every 8 bytes of header and trailer hold something
that is not, and the mask sees to the body. A zero sector is therefore one that was never written.
"""

import hashlib
import itertools
import struct

import google_crc32c
import msgspec

SECTOR = 512
"""The smallest unit that a disk writes whole or not at all."""

HEADER_SIZE = 32
TRAILER_SIZE = 40
MAX_BODY = 1024 * 1024
"""Bounds a frame's memory and how much one damaged frame costs; some 4,000 usual events."""

MAX_COUNT = 0xFFFF
"""Events in one frame: the header's u16."""

MAGIC = 0x4D524645  # "EFRM"

_FIELDS = struct.Struct("<IHHQQ")
_HEADER = struct.Struct("<IHHQQII")
_CHECKSUMS = struct.Struct("<II")
_TRAILER = struct.Struct("<32sII")
_ZERO_SECTOR = bytes(SECTOR)


class BadFrame(Exception):
    """The bytes are not the frame that must be here."""


class FrameHeader(msgspec.Struct, frozen=True, gc=False):
    """A header whose own checksum holds; the body is not checked yet."""

    length: int
    count: int
    mask: int
    first: int
    recorded_at: int
    body_crc: int
    fields: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return frame_size(self.length)

    @property
    def last(self) -> int:
        """Position of the frame's last event."""
        return self.first + self.count - 1


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame that passed every check."""

    offset: int
    header: FrameHeader
    body: bytes
    chain: bytes


def frame_size(length: int) -> int:
    """Bytes of a frame with a body of `length` bytes; always a multiple of 8."""
    return HEADER_SIZE + _padded(length) + TRAILER_SIZE


def next_chain(previous: bytes, body: bytes) -> bytes:
    """The chain after a frame."""
    chain = hashlib.sha256(previous)
    chain.update(body)
    return chain.digest()


def encode_frame(
    body: bytes, *, first: int, count: int, recorded_at: int, previous: bytes, offset: int
) -> tuple[bytes, bytes]:
    """The frame's bytes for this file offset, and the chain after it."""
    chain = next_chain(previous, body)
    stored = body + _padding(len(body))
    mask = _mask_for(stored, offset + HEADER_SIZE) if _ZERO_SECTOR in stored else 0
    if mask:
        stored = _masked(stored, mask)
    trailer = _TRAILER.pack(chain, len(body), MAGIC)
    fields = _FIELDS.pack(len(body), count, mask, first, recorded_at)
    body_crc = _body_crc(fields, previous, stored)
    header_crc = google_crc32c.value(fields + body_crc.to_bytes(4, "little"))
    return b"".join((fields, _CHECKSUMS.pack(body_crc, header_crc), stored, trailer)), chain


def decode_header(data: bytes) -> FrameHeader | None:
    """The header in `data`, or None where these bytes are no header."""
    if len(data) != HEADER_SIZE:
        return None
    length, count, mask, first, recorded_at, body_crc, header_crc = _HEADER.unpack(data)
    if not 0 < length <= MAX_BODY or google_crc32c.value(data[:28]) != header_crc:
        return None
    return FrameHeader(length, count, mask, first, recorded_at, body_crc, data[:24])


def decode_frame(offset: int, header: FrameHeader, rest: bytes, previous: bytes) -> Frame:
    """Check what follows a header. Raises BadFrame."""
    stored = rest[: _padded(header.length)]
    plain = _unmasked(header, stored, previous)
    body = plain[: header.length]
    chain = next_chain(previous, body)
    sound = _padding(header.length), _TRAILER.pack(chain, header.length, MAGIC)
    if (plain[header.length :], rest[len(stored) :]) != sound:
        raise BadFrame("padding or trailer does not match")
    return Frame(offset, header, body, chain)


def decode_body(header: FrameHeader, rest: bytes, previous: bytes) -> bytes:
    """The body of a frame whose trailer may be damaged. Raises BadFrame."""
    return _unmasked(header, rest[: _padded(header.length)], previous)[: header.length]


def trailer_chain(trailer: bytes, length: int | None) -> bytes | None:
    """The chain in a trailer, unchecked, or None where these bytes are no trailer.

    Without a `length` any will do.
    """
    if len(trailer) != TRAILER_SIZE:
        return None
    chain, stored_length, magic = _TRAILER.unpack(trailer)
    return chain if magic == MAGIC and length in (stored_length, None) else None


def _body_crc(fields: bytes, previous: bytes, stored: bytes) -> int:
    checksum: int = google_crc32c.extend(google_crc32c.value(fields + previous), stored)
    return checksum


def _unmasked(header: FrameHeader, stored: bytes, previous: bytes) -> bytes:
    if _body_crc(header.fields, previous, stored) != header.body_crc:
        raise BadFrame("the checksum does not match")
    return _masked(stored, header.mask) if header.mask else stored


def _padded(length: int) -> int:
    return (length + 7) & ~7


def _padding(length: int) -> bytes:
    return bytes(-length % 8)


def _masked(padded: bytes, mask: int) -> bytes:
    pattern = mask.to_bytes(2, "little") * (len(padded) // 2)
    masked = int.from_bytes(padded, "little") ^ int.from_bytes(pattern, "little")
    return masked.to_bytes(len(padded), "little")


def _mask_for(padded: bytes, offset: int) -> int:
    # A sector becomes zero under one mask at most, so n sectors leave one of n + 1 masks free.
    start = -offset % SECTOR
    sectors = (padded[at : at + SECTOR] for at in range(start, len(padded) - SECTOR + 1, SECTOR))
    forbidden = {
        int.from_bytes(sector[:2], "little")
        for sector in sectors
        if sector == sector[:2] * (SECTOR // 2)
    }
    return next(mask for mask in itertools.count() if mask not in forbidden)
