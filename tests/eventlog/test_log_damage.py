"""Every damage to a small log is refused, or harmless: nothing acknowledged is lost in silence."""

from collections.abc import Callable, Iterator
from itertools import pairwise, product

import pytest
from chronovisor_crash.damage import KINDS, Damage

from eventlog import CorruptLog, EventLogError, ForeignSegment, Record, record
from eventlog.frame import HEADER_SIZE, SECTOR, decode_header, encode_frame
from eventlog.offline import read_storage, verify_storage
from eventlog.recovery import recover
from eventlog.segment import SPARE_NAME, TIP_NAME
from tests.eventlog.memory_storage import MemoryStorage
from tests.eventlog.samples import NOW, SEGMENT_BYTES, event, write_life


@pytest.fixture(scope="module")
def sound() -> tuple[dict[str, bytes], list[Record]]:
    """Two lives: a sealed segment and an open one, with plain, masked and many-event frames."""
    storage = MemoryStorage()
    written = write_life(storage, [[b"\x80"], [bytes(1200), b"\x81"]])
    written += write_life(storage, [[b"\x82"] * 3, [b"x" * 700], [b"\x83"]])
    return storage.snapshot(), written


def _logs(files: dict[str, bytes]) -> list[str]:
    return sorted(name for name in files if name.endswith(".log"))


def _survivors(storage: MemoryStorage) -> list[Record]:
    recover(storage, NOW)
    return list(read_storage(storage))


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (100, "a frame does not match its checksum"),
        (4, "a frame's header does not match its checksum"),
        (None, "the footer does not match its checksum"),
    ],
)
def test_a_changed_byte_of_a_sealed_segment_is_called_what_it_is(
    sound: tuple[dict[str, bytes], list[Record]], at: int | None, why: str
) -> None:
    files, _ = sound
    first = _logs(files)[0]
    damaged = bytearray(files[first])
    damaged[-8 if at is None else 512 + at] ^= 1
    with pytest.raises(CorruptLog, match=why):
        list(verify_storage(MemoryStorage({**files, first: bytes(damaged)})))


@pytest.mark.parametrize("damages", KINDS, ids=lambda kind: kind.__name__)
def test_damage_is_refused_or_changes_nothing(
    sound: tuple[dict[str, bytes], list[Record]],
    damages: Callable[[dict[str, bytes]], Iterator[Damage]],
) -> None:
    files, written = sound
    refused = harmless = 0
    for what, damaged in damages(files):
        storage = MemoryStorage(damaged)
        try:
            survivors = _survivors(storage)
        except EventLogError:
            assert storage.snapshot() == damaged, f"refused, but changed: {what}"
            refused += 1
        else:
            assert survivors == written, f"silent loss: {what}"
            harmless += 1
    assert refused > 0, (refused, harmless)


def test_without_the_tip_a_lost_tail_would_go_unnoticed(
    sound: tuple[dict[str, bytes], list[Record]],
) -> None:
    files, written = sound
    last = _logs(files)[-1]
    lost = {**files, last: files[last][:512] + bytes(SEGMENT_BYTES - 512)}
    with pytest.raises(CorruptLog) as caught:
        _survivors(MemoryStorage(lost))
    assert (caught.value.position, caught.value.path) == (4, last)
    del lost[TIP_NAME]
    assert _survivors(MemoryStorage(lost)) == written[:3]


def test_verification_names_file_offset_and_position_of_the_damage(
    sound: tuple[dict[str, bytes], list[Record]],
) -> None:
    files, written = sound
    first = _logs(files)[0]
    damaged = bytearray(files[first])
    header = decode_header(files[first][512 : 512 + HEADER_SIZE])
    assert header is not None
    damaged[512 + header.size + 100] ^= 1
    storage = MemoryStorage({**files, first: bytes(damaged)})
    with pytest.raises(CorruptLog) as caught:
        list(verify_storage(storage))
    assert (caught.value.position, caught.value.path) == (2, first)
    assert caught.value.offset == 512 + header.size
    reader = read_storage(storage)
    assert next(reader) == written[0]
    with pytest.raises(CorruptLog):
        next(reader)


def test_every_torn_write_is_cut_and_kept(
    sound: tuple[dict[str, bytes], list[Record]],
) -> None:
    """The next frame reaches the disk in any subset of its sectors, from any alignment."""
    files, written = sound
    last = _logs(files)[-1]
    for lead in range(0, SECTOR, 40):
        storage = MemoryStorage(files)
        acknowledged = written + write_life(storage, [[b"L" * (40 + lead)]])
        for payload in (b"p" * 1100, bytes(1500)):
            _try_subsets(storage.snapshot(), acknowledged, payload)
    assert last in files


def _try_subsets(files: dict[str, bytes], acknowledged: list[Record], payload: bytes) -> None:
    before = MemoryStorage(files)
    full = MemoryStorage(files)
    journal_name = _logs(files)[-1]
    end = len(files[journal_name].rstrip(b"\0")) + 7 & ~7
    frame = _next_frame(full, journal_name, end, payload, len(acknowledged) + 1)
    cuts = [0, *range(SECTOR - end % SECTOR, len(frame), SECTOR), len(frame)]
    pieces = list(pairwise(cuts))
    for kept in product([False, True], repeat=len(pieces)):
        data = bytearray(before.files[journal_name])
        for (start, stop), present in zip(pieces, kept, strict=True):
            if present:
                data[end + start : end + stop] = frame[start:stop]
        storage = MemoryStorage({**files, journal_name: bytes(data)})
        survivors = _survivors(storage)
        torn = [name for name in storage.files if ".torn-" in name]
        assert len(survivors) == len(acknowledged) + all(kept)
        assert survivors[: len(acknowledged)] == acknowledged
        assert bool(torn) == (any(kept) and not all(kept))


def _next_frame(
    storage: MemoryStorage, name: str, end: int, payload: bytes, position: int
) -> bytes:
    data = bytes(storage.files[name])
    previous = data[end - 40 : end - 8] if end > SECTOR else data[64:96]
    _, raw = record.place(event("new", payload=payload), position, position, NOW, 9)
    body = record.body(1, raw)
    return encode_frame(
        body, first=position, count=1, recorded_at=NOW, previous=previous, offset=end
    )[0]


def test_a_repair_leaves_a_log_that_verifies(
    sound: tuple[dict[str, bytes], list[Record]],
) -> None:
    files, _ = sound
    last = _logs(files)[-1]
    data = bytearray(files[last])
    data[3000:3100] = b"x" * 100
    storage = MemoryStorage({**files, last: bytes(data)})
    write_life(storage, [[b"\x84"]])
    assert [one.last for one in verify_storage(storage)] == [3, 8, 9]
    assert SPARE_NAME in storage.files


def test_two_logs_mixed_are_refused() -> None:
    one, other = MemoryStorage(), MemoryStorage()
    for storage in (one, other):
        write_life(storage, [[b"\x80"]])
        write_life(storage, [[b"\x80"]])
    second = _logs(one.snapshot())[1]
    mixed = {**one.snapshot(), second: other.snapshot()[second]}
    with pytest.raises(ForeignSegment, match="it is of log"):
        recover(MemoryStorage(mixed), NOW)


def test_a_renamed_segment_is_refused() -> None:
    storage = MemoryStorage()
    write_life(storage, [[b"\x80"]])
    files = storage.snapshot()
    files["00000000000000000009.log"] = files.pop(_logs(files)[0])
    with pytest.raises(ForeignSegment, match="it was written as"):
        recover(MemoryStorage(files), NOW)
