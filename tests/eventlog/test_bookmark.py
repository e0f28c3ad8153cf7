"""Going on from a bookmark: the same log, less read; and every bookmark that does not fit."""

import shutil
import uuid
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import (
    Bookmark,
    BookmarkUnfit,
    CorruptLog,
    LogOptions,
    Scan,
    check_bookmark,
    open_log,
    read_log,
)
from eventlog.journal import Part, open_journal
from eventlog.record import LOG_STREAM, NewEvent, place
from eventlog.recovery import REPAIRED, Repair, recover
from eventlog.segment import HEADER_SIZE, decode_header, encode_header
from eventlog.storage import DiskStorage
from tests.eventlog.memory_storage import MemoryStorage
from tests.eventlog.samples import NOW, event, open_small, write_life

OPTIONS = LogOptions(segment_bytes=4096)
PAYLOAD = b"\1" * 500


def scanned(storage: MemoryStorage | DiskStorage, upto: int | None = None) -> Bookmark:
    scan = Scan(storage)
    for _ in scan.commits():
        if scan.position == upto:
            break
    bookmark = scan.bookmark()
    assert bookmark is not None
    return bookmark


def written(lives: list[int]) -> MemoryStorage:
    storage = MemoryStorage()
    for events in lives:
        write_life(storage, [[PAYLOAD]] * events)
    return storage


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_recovering_from_any_bookmark_gives_what_recovering_from_the_beginning_gives(
    lives: list[int], data: st.DataObject
) -> None:
    storage = written(lives)
    upto = data.draw(st.integers(0, sum(lives)))
    bookmark = scanned(storage, upto)
    assert bookmark.position in (upto, sum(lives))
    again, whole = recover(storage, NOW, bookmark), recover(storage, NOW)
    assert again.versions.packed() == whole.versions.packed()
    plain = msgspec.structs.asdict(whole)
    assert {**msgspec.structs.asdict(again), "versions": 0} == {**plain, "versions": 0}


def test_a_scan_goes_on_where_it_stood_and_from_its_bookmark() -> None:
    storage = written([5])
    scan = Scan(storage)
    first = [record.position for commit in scan.commits() for record in commit]
    marked = scan.bookmark()
    write_life(storage, [[PAYLOAD]] * 20)
    assert first == [1, 2, 3, 4, 5]
    assert [record.position for commit in scan.commits() for record in commit] == [*range(6, 26)]
    resumed = Scan(storage, marked)
    assert [record.position for commit in resumed.commits() for record in commit] == [*range(6, 26)]
    assert resumed.bookmark() == scan.bookmark() == scanned(storage)


def test_an_empty_directory_has_no_place_to_mark() -> None:
    scan = Scan(MemoryStorage())
    assert list(scan.commits()) == []
    assert scan.bookmark() is None


async def test_a_log_opened_at_a_bookmark_goes_on_with_versions_and_refuses_stale_ones(
    tmp_path: Path,
) -> None:
    async with open_log(tmp_path, OPTIONS) as log:
        for n in range(12):
            await log.append([event(f"{n}", stream=f"s{n % 3}", payload=PAYLOAD)])
    bookmark = scanned(DiskStorage(tmp_path))
    async with open_log(tmp_path, OPTIONS, start=bookmark) as log:
        assert (log.head, log.version("s1"), log.version("new")) == (12, 4, 0)
        (record,) = await log.append([event("more", stream="s1")], expected={"s1": 4})
    assert (record.position, record.version) == (13, 5)
    assert len(list(read_log(tmp_path))) == 13


def test_damage_before_the_bookmark_is_left_to_verification_and_after_it_is_found() -> None:
    storage = written([4, 4])
    bookmark = scanned(storage, 4)
    first, second = sorted(name for name in storage.names() if name.endswith(".log"))
    before = MemoryStorage(storage.snapshot() | {first: _flipped(storage.snapshot()[first], 700)})
    assert recover(before, NOW, bookmark).head == 8
    after = MemoryStorage(storage.snapshot() | {second: _flipped(storage.snapshot()[second], 700)})
    with pytest.raises(CorruptLog):
        recover(after, NOW, bookmark)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"log_id": uuid.UUID(int=7)}, "it is of log"),
        ({"chain": bytes(32)}, "another history"),
        ({"offset": 520}, "another history"),
        ({"offset": 2**40}, "another history"),
        ({"segment": 99}, "there is no segment"),
    ],
)
def test_a_bookmark_that_the_bytes_do_not_bear_out_is_refused(
    change: dict[str, object], why: str
) -> None:
    storage = written([5, 5])
    contents = storage.snapshot()
    unfit = msgspec.structs.replace(scanned(storage, 7), **change)
    with pytest.raises(BookmarkUnfit, match=why):
        check_bookmark(storage, unfit)
    with pytest.raises(BookmarkUnfit, match=why):
        recover(storage, NOW, unfit)
    assert storage.snapshot() == contents


def test_a_bookmark_of_a_later_time_is_refused(tmp_path: Path) -> None:
    disk = DiskStorage(tmp_path / "log")
    write_life(disk, [[PAYLOAD]] * 3)
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    write_life(disk, [[PAYLOAD]] * 3)
    with pytest.raises(BookmarkUnfit):
        check_bookmark(DiskStorage(tmp_path / "backup"), scanned(disk))


def test_a_segment_missing_before_the_bookmark_is_noticed() -> None:
    storage = written([5, 5, 5])
    bookmark = scanned(storage)
    names = sorted(name for name in storage.names() if name.endswith(".log"))
    for missing in names[:-1]:
        contents = {name: data for name, data in storage.snapshot().items() if name != missing}
        with pytest.raises(BookmarkUnfit):
            check_bookmark(MemoryStorage(contents), bookmark)


def test_a_segment_of_a_stale_writer_before_the_bookmark_is_noticed() -> None:
    storage = written([5, 5, 5])
    bookmark = scanned(storage)
    contents = storage.snapshot()
    first = min(name for name in contents if name.endswith(".log"))
    header = decode_header(contents[first][:HEADER_SIZE], first)
    stale = encode_header(msgspec.structs.replace(header, epoch=99))
    contents[first] = stale + contents[first][HEADER_SIZE:]
    with pytest.raises(BookmarkUnfit, match="does not follow"):
        check_bookmark(MemoryStorage(contents), bookmark)


def test_a_scan_remembers_the_repairs_that_it_passed() -> None:
    storage = MemoryStorage()
    write_life(storage, [[PAYLOAD]])
    kept = f"{1:020}.log.torn-1"
    repair = msgspec.msgpack.encode(Repair(f"{1:020}.log", kept, 3, "0" * 64))
    file = storage.create(kept)
    file.pwrite(b"abc", 0)
    write_life(storage, [[PAYLOAD]])
    assert [each.kept_as for each in recover(storage, NOW).unlogged] == [kept]
    journal, _ = open_journal(storage, "node", 4096, lambda: NOW)
    _, noted = place(NewEvent(LOG_STREAM, REPAIRED, repair, "r"), 3, 1, NOW, journal.epoch)
    journal.commit([Part(3, 1, NOW, noted)])
    journal.close()
    bookmark = scanned(storage)
    assert bookmark.repairs == (kept,)
    assert recover(storage, NOW, bookmark).unlogged == ()


def test_a_live_writer_may_be_marked() -> None:
    storage = MemoryStorage()
    journal = open_small(storage)
    bookmark = scanned(storage)
    assert (bookmark.position, bookmark.frames) == (0, 0)
    journal.close()
    write_life(storage, [[PAYLOAD]])
    assert recover(storage, NOW, bookmark).head == 1


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]
