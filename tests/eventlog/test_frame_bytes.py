"""One frame's bytes: what is written is read, and no sector of it is ever all zero."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventlog.frame import (
    HEADER_SIZE,
    MAX_BODY,
    SECTOR,
    BadFrame,
    Frame,
    decode_frame,
    decode_header,
    encode_frame,
    frame_size,
)

CHAIN = b"c" * 32


def _encode(body: bytes, offset: int) -> bytes:
    return encode_frame(body, first=7, count=3, recorded_at=9, previous=CHAIN, offset=offset)[0]


def _decode(data: bytes, previous: bytes = CHAIN) -> Frame:
    header = decode_header(data[:HEADER_SIZE])
    assert header is not None
    return decode_frame(0, header, data[HEADER_SIZE:], previous)


def _zero_sectors(data: bytes, offset: int) -> list[int]:
    """Sectors of the file in which all of the frame's bytes are zero."""
    ends = [*range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    starts = [0, *ends[:-1]]
    return [start for start, end in zip(starts, ends, strict=True) if not any(data[start:end])]


_runs = st.tuples(
    st.sampled_from([b"\0\0", b"\1\0", b"\2\0", b"\0\1", b"ab", b"\xff"]), st.integers(0, 1600)
)
_bodies = st.lists(_runs, min_size=1, max_size=6).map(
    lambda runs: b"\x91" + b"".join(pattern * times for pattern, times in runs)
)
_offsets = st.integers(0, 200).map(lambda n: n * 8)


@given(_bodies, _offsets)
@example(b"\x91" + bytes(4000) + struct.pack("<H", 1) * 4000 + struct.pack("<H", 2) * 4000, 512)
def test_a_frame_is_read_as_written_and_has_no_zero_sector(body: bytes, offset: int) -> None:
    data = _encode(body, offset)
    assert len(data) == frame_size(len(body))
    assert _zero_sectors(data, offset) == []
    assert _decode(data).body == body


def test_zeros_in_a_body_are_masked_only_where_they_fill_a_sector() -> None:
    plain = decode_header(_encode(b"\x91" + bytes(600), 512)[:HEADER_SIZE])
    masked = decode_header(_encode(b"\x91" + bytes(2000), 512)[:HEADER_SIZE])
    assert plain is not None
    assert plain.mask == 0
    assert masked is not None
    assert masked.mask != 0


def test_the_largest_frame_with_every_small_mask_spoiled_still_has_no_zero_sector() -> None:
    sectors = MAX_BODY // SECTOR - 2
    spoiled = b"".join(struct.pack("<H", mask) * (SECTOR // 2) for mask in range(sectors))
    body = b"\x91" + bytes(SECTOR - HEADER_SIZE - 1) + spoiled
    data = _encode(body, 0)
    assert _zero_sectors(data, 0) == []
    assert _decode(data).body == body


def test_a_frame_does_not_pass_after_another_predecessor() -> None:
    with pytest.raises(BadFrame):
        _decode(_encode(b"\x91\x01", 512), previous=b"d" * 32)


@pytest.mark.parametrize("body", [b"\x91\x01", b"\x91" + bytes(3000)], ids=["plain", "masked"])
def test_every_flipped_bit_is_noticed(body: bytes) -> None:
    data = _encode(body, 512)
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        header = decode_header(bytes(damaged[:HEADER_SIZE]))
        if header is not None:
            with pytest.raises(BadFrame):
                decode_frame(0, header, bytes(damaged[HEADER_SIZE:]), CHAIN)
