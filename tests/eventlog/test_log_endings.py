"""Torn or corrupt: the rule alone, without a tip that would notice a loss in any case."""

import uuid
from collections.abc import Callable

import msgspec
import pytest

from eventlog import CorruptLog, Ending, ForeignSegment, record, segment
from eventlog.frame import HEADER_SIZE, SECTOR, FrameHeader, decode_header, encode_frame
from eventlog.offline import read_storage, verify_storage
from eventlog.recovery import recover
from eventlog.segment import TIP_NAME, decode_footer, encode_footer, encode_header
from tests.eventlog.memory_storage import FaultyStorage, MemoryStorage
from tests.eventlog.samples import NOW, SEGMENT_BYTES, event, write_life

FIRST = "00000000000000000001.log"


def _log(*payloads: bytes) -> tuple[bytearray, list[int]]:
    """One open segment, and the offsets at which its frames begin and the last one ends."""
    storage = MemoryStorage()
    write_life(storage, [[payload] for payload in payloads])
    data = storage.files[FIRST]
    offsets = [SECTOR]
    while (
        header := decode_header(bytes(data[offsets[-1] : offsets[-1] + HEADER_SIZE]))
    ) is not None:
        offsets.append(offsets[-1] + header.size)
    assert len(offsets) == len(payloads) + 1
    return data, offsets


def _header_at(data: bytearray, offset: int) -> FrameHeader | None:
    return decode_header(bytes(data[offset : offset + HEADER_SIZE]))


def _ending(data: bytes) -> Ending:
    (verified,) = verify_storage(MemoryStorage({FIRST: data}))
    return verified.ending


def _zero(data: bytearray, start: int, stop: int) -> None:
    data[start:stop] = bytes(stop - start)


def _flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x10


def test_frames_and_then_zeros_are_an_open_segment() -> None:
    data, _ = _log(b"a", b"b", b"c")
    assert _ending(bytes(data)) is Ending.OPEN


def test_a_last_frame_that_lost_its_first_sector_is_torn() -> None:
    data, offsets = _log(b"a", b"b" * 1000)
    _zero(data, offsets[1], SECTOR * 2)
    assert _ending(bytes(data)) is Ending.TORN


def test_a_last_frame_that_lost_an_inner_sector_is_torn() -> None:
    data, _ = _log(b"a", b"b" * 1500)
    _zero(data, SECTOR * 3, SECTOR * 4)
    assert _ending(bytes(data)) is Ending.TORN


def _shortened(data: bytearray, offsets: list[int]) -> None:
    del data[offsets[-1] :]


def _body_changed(data: bytearray, offsets: list[int]) -> None:
    _flip(data, offsets[2] + HEADER_SIZE + 10)


def _header_changed(data: bytearray, offsets: list[int]) -> None:
    _flip(data, offsets[2] + 1)


def _earlier_body_changed(data: bytearray, offsets: list[int]) -> None:
    _zero(data, SECTOR * 2, SECTOR * 3)


def _earlier_header_lost(data: bytearray, offsets: list[int]) -> None:
    _zero(data, offsets[1], SECTOR * 2)


def _far_garbage(data: bytearray, offsets: list[int]) -> None:
    _zero(data, SECTOR * 4, SECTOR * 5)
    data[-1] = 1


def _stray_byte_in_the_next_header(data: bytearray, offsets: list[int]) -> None:
    data[offsets[-1] + 20] = 1


@pytest.mark.parametrize(
    ("damage", "position", "why"),
    [
        (_shortened, 4, "bytes instead of"),
        (_body_changed, 3, "a frame does not match its checksum"),
        (_header_changed, 3, "header does not match its checksum"),
        (_earlier_body_changed, 2, "followed by other bytes"),
        (_earlier_header_lost, 2, "missing before a sound one"),
        (_far_garbage, 3, "followed by other bytes"),
        (_stray_byte_in_the_next_header, 4, "header does not match its checksum"),
    ],
)
def test_what_no_torn_write_leaves_behind_is_damage(
    damage: Callable[[bytearray, list[int]], None], position: int, why: str
) -> None:
    data, offsets = _log(b"a", b"b" * 900, b"c" * 900)
    damage(data, offsets)
    with pytest.raises(CorruptLog, match=why) as caught:
        _ending(bytes(data))
    assert caught.value.position == position
    storage = MemoryStorage({FIRST: bytes(data)})
    with pytest.raises(CorruptLog, match=why):
        recover(storage, NOW)
    assert storage.snapshot() == {FIRST: bytes(data)}


def _two_lives() -> MemoryStorage:
    storage = MemoryStorage()
    write_life(storage, [[b"a"], [b"b"]])
    write_life(storage, [[b"c"]])
    del storage.files[TIP_NAME]
    return storage


def _refooted(storage: MemoryStorage, **changes: object) -> None:
    data = storage.files[FIRST]
    footer = decode_footer(bytes(data[-128:]))
    assert footer is not None
    data[-128:] = encode_footer(msgspec.structs.replace(footer, **changes))


@pytest.mark.parametrize(
    "changes", [{"frames": 3}, {"last": 3}, {"chain": bytes(32)}, {"offset": 512}], ids=str
)
def test_a_footer_that_contradicts_the_frames_is_damage(changes: dict[str, object]) -> None:
    storage = _two_lives()
    _refooted(storage, **changes)
    with pytest.raises(CorruptLog, match="footer contradicts"):
        recover(storage, NOW)


def test_a_sealed_segment_that_lost_its_footer_is_damage() -> None:
    storage = _two_lives()
    data = storage.files[FIRST]
    data[-128:] = bytes(SEGMENT_BYTES - len(data) + 128)
    with pytest.raises(CorruptLog, match="without a footer"):
        recover(storage, NOW)


def test_bytes_behind_a_footer_are_damage() -> None:
    storage = _two_lives()
    storage.files[FIRST] += b"stale writer"
    with pytest.raises(CorruptLog, match="follows the footer"):
        recover(storage, NOW)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epoch": 0}, "stale writer"),
        ({"chain": bytes(32)}, "another history"),
        ({"log_id": uuid.UUID(int=1)}, "it is of log"),
    ],
)
def test_a_segment_that_does_not_continue_its_predecessor_is_refused(
    changes: dict[str, object], why: str
) -> None:
    storage = _two_lives()
    second = sorted(name for name in storage.files if name.endswith(".log"))[1]
    data = storage.files[second]
    header = segment.decode_header(bytes(data[:SECTOR]), second)
    data[:SECTOR] = encode_header(msgspec.structs.replace(header, **changes))
    with pytest.raises(ForeignSegment, match=why):
        recover(storage, NOW)


def test_a_log_that_does_not_begin_with_its_own_chain_is_refused() -> None:
    storage = _two_lives()
    data = storage.files[FIRST]
    header = segment.decode_header(bytes(data[:SECTOR]), FIRST)
    data[:SECTOR] = encode_header(msgspec.structs.replace(header, log_id=uuid.UUID(int=1)))
    with pytest.raises(ForeignSegment, match="log's id"):
        recover(storage, NOW)


def _forged(position: int, version: int) -> bytes:
    """The bytes of a frame with sound checksums that a correct writer would not write."""
    _, raw = record.place(event("e"), position, version, NOW, 1)
    storage = MemoryStorage()
    write_life(storage, [[b"a"]])
    data = storage.files[FIRST]
    end = len(data.rstrip(b"\0")) + 7 & ~7
    frame, _ = encode_frame(
        record.body(1, raw),
        first=2,
        count=1,
        recorded_at=NOW,
        previous=bytes(data[end - 40 : end - 8]),
        offset=end,
    )
    data[end : end + len(frame)] = frame
    return bytes(data)


@pytest.mark.parametrize(("position", "version"), [(3, 2), (2, 3), (2, 1)])
def test_sound_bytes_with_wrong_numbers_are_damage(position: int, version: int) -> None:
    with pytest.raises(CorruptLog, match="out of order"):
        recover(MemoryStorage({FIRST: _forged(position, version)}), NOW)


def test_forged_frames_with_right_numbers_would_pass() -> None:
    assert recover(MemoryStorage({FIRST: _forged(2, 2)}), NOW).head == 2


def test_a_torn_tail_is_kept_then_zeroed_then_sealed() -> None:
    data, offsets = _log(b"a", b"b" * 1500)
    _zero(data, SECTOR * 3, SECTOR * 4)
    torn = bytes(data[offsets[1] :]).rstrip(b"\0")
    inner = MemoryStorage({FIRST: bytes(data)})
    stages: list[str] = []

    def watch(_: str) -> None:
        tail = bytes(inner.files[FIRST][offsets[1] :]).rstrip(b"\0")
        kept = bytes(inner.files.get(f"{FIRST}.torn-1", b""))
        if tail == torn:
            stages.append("kept" if kept == torn else "torn")
        else:
            assert kept == torn
            stages.append("sealed" if tail else "zeroed")

    recover(FaultyStorage(inner, watch), NOW)
    order = ["torn", "kept", "zeroed", "sealed"]
    assert sorted(stages, key=order.index) == stages
    assert set(stages) == set(order)


class Interruption:
    """Lets some operations pass and stops the next."""

    def __init__(self, allowed: int) -> None:
        self._left = allowed

    def __call__(self, operation: str) -> None:
        if self._left == 0:
            raise InterruptedError(operation)
        self._left -= 1


def test_a_recovery_interrupted_anywhere_can_be_done_again() -> None:
    data, _ = _log(b"a", b"b" * 1500)
    _zero(data, SECTOR * 3, SECTOR * 4)
    for allowed in range(8):
        storage = MemoryStorage({FIRST: bytes(data)})
        with pytest.raises(InterruptedError):
            recover(FaultyStorage(storage, Interruption(allowed)), NOW)
        recovered = recover(storage, NOW)
        assert recovered.head == 1
        assert f"{FIRST}.torn-1" in [repair.kept_as for repair in recovered.unlogged]
        assert [one.position for one in read_storage(storage)] == [1]
        assert [one.ending for one in verify_storage(storage)] == [Ending.SEALED]


def test_a_footer_is_durable_before_an_interrupted_seal_is_finished() -> None:
    """A killed writer may have left it to the page cache, and a cut may reach the disk first."""
    storage = MemoryStorage()
    write_life(storage, [[b"\x80"]])
    recover(storage, NOW)
    storage.files[FIRST].extend(bytes(SEGMENT_BYTES - len(storage.files[FIRST])))
    done: list[str] = []
    recover(FaultyStorage(storage, done.append), NOW)
    assert done == ["fdatasync", "truncate", "make_read_only", "fsync"]
