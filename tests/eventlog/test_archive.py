"""A log that begins with a base: what must stay is there, and nothing else may be missing."""

import shutil
from pathlib import Path

import pytest

from eventlog import (
    BaseTooLate,
    CorruptLog,
    Dropped,
    EventLog,
    ForeignSegment,
    LogOptions,
    NotArchivable,
    PositionArchived,
    Scan,
    drop_segments,
    droppable,
    open_log,
    read_log,
    verify_log,
)
from eventlog.archive import BASE, PARTS_PER_APPEND, BaseReader
from eventlog.storage import DiskStorage
from tests.eventlog.memory_storage import FaultyStorage
from tests.eventlog.samples import event

OPTIONS = LogOptions(segment_bytes=4096)
ROOMY = LogOptions(segment_bytes=4 * 1024 * 1024)
PAYLOAD = b"\1" * 500
STATE = b"the state"


async def written(directory: Path, lives: int = 3, events: int = 8) -> None:
    for _ in range(lives):
        async with open_log(directory, OPTIONS) as log:
            for n in range(events):
                await log.append([event(f"{n}", stream=f"s{n % 2}", payload=PAYLOAD)])


async def archived(directory: Path, to: Path | None = None, below: int = 17) -> list[Dropped]:
    async with open_log(directory, OPTIONS) as log:
        await log.append_base(STATE, below)
        return drop_segments(DiskStorage(directory), below, DiskStorage(to) if to else None)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.log"))


async def test_a_log_goes_on_without_what_was_archived(tmp_path: Path) -> None:
    await written(tmp_path / "log")
    before = list(read_log(tmp_path / "log"))
    gone = await archived(tmp_path / "log", tmp_path / "kept")
    assert gone[-1].last == 16
    after = list(read_log(tmp_path / "log"))
    assert after[: len(before) - 16] == before[16:]
    assert [record.type for record in after[len(before) - 16 :]] == [BASE]
    assert sum(one.last - one.first + 1 for one in verify_log(tmp_path / "log")) == len(after)
    async with open_log(tmp_path / "log", OPTIONS) as log:
        assert (log.version("s0"), log.version("s1"), log.version("log")) == (12, 12, 1)
        await log.append([event("more", stream="s0")], expected={"s0": 12})
    assert list(read_log(tmp_path / "kept")) == before[:16]


async def test_the_archived_segments_can_be_put_back(tmp_path: Path) -> None:
    await written(tmp_path / "log")
    before = list(read_log(tmp_path / "log"))
    await archived(tmp_path / "log", tmp_path / "kept")
    for segment in (tmp_path / "kept").glob("*.log"):
        shutil.copy2(segment, tmp_path / "log")
    assert list(read_log(tmp_path / "log"))[: len(before)] == before
    list(verify_log(tmp_path / "log"))


async def test_what_is_missing_beyond_the_base_is_missed(tmp_path: Path) -> None:
    await written(tmp_path)
    await archived(tmp_path)
    first = names(tmp_path)[0]
    (tmp_path / first).unlink()
    with pytest.raises(ForeignSegment, match="are missing"):
        list(read_log(tmp_path))
    with pytest.raises(ForeignSegment, match="are missing"):
        async with open_log(tmp_path, OPTIONS):
            pass


async def test_nothing_is_dropped_without_a_base(tmp_path: Path) -> None:
    await written(tmp_path)
    before = names(tmp_path)
    with pytest.raises(NotArchivable, match="no base"):
        drop_segments(DiskStorage(tmp_path), 17)
    assert names(tmp_path) == before


async def test_a_base_comes_first_in_a_life(tmp_path: Path) -> None:
    async with open_log(tmp_path, OPTIONS) as log:
        await log.append([event("first")])
        with pytest.raises(BaseTooLate):
            await log.append_base(STATE, 2)


async def test_a_large_state_takes_several_frames_and_counts_only_whole(tmp_path: Path) -> None:
    state = bytes(range(256)) * 8 * 1024
    async with open_log(tmp_path, ROOMY) as log:
        await log.append([event("first")])
    async with open_log(tmp_path, ROOMY) as log:
        await log.append_base(state, 2)
    parts = [record for record in read_log(tmp_path) if record.type == BASE]
    assert len(parts) > 2 * PARTS_PER_APPEND
    reader = BaseReader()
    *none, found = [reader.take(part) for part in parts]
    assert none == [None] * (len(parts) - 1)
    assert found is not None
    assert (found.first, found.last, found.base.state) == (2, len(parts) + 1, state)
    for missing in (0, 5, len(parts) - 1):
        reader = BaseReader()
        assert not any(reader.take(part) for part in parts[:missing] + parts[missing + 1 :])
    assert [one.last for one in drop_segments(DiskStorage(tmp_path), 2)] == [1]


async def test_an_interrupted_base_is_followed_by_a_whole_one(tmp_path: Path) -> None:
    async with open_log(tmp_path, ROOMY) as log:
        await log.append_base(bytes(200_000), 1)
    parts = list(read_log(tmp_path))
    reader = BaseReader()
    found = [base for part in parts[:2] + parts if (base := reader.take(part)) is not None]
    assert [base.base.state for base in found] == [bytes(200_000)]


async def test_a_second_archive_builds_on_the_first(tmp_path: Path) -> None:
    await written(tmp_path)
    await archived(tmp_path)
    await written(tmp_path)
    below = 1 + max(record.position for record in read_log(tmp_path)) - 4
    await archived(tmp_path, below=below)
    async with open_log(tmp_path, OPTIONS) as log:
        assert (log.version("s0"), log.version("s1"), log.version("log")) == (24, 24, 2)
    list(verify_log(tmp_path))


async def test_readers_begin_at_the_oldest_and_are_told_what_is_archived(tmp_path: Path) -> None:
    await written(tmp_path)
    await archived(tmp_path)
    async with open_log(tmp_path, OPTIONS) as log:
        assert (await anext(log.read())).position == 17
        assert (await anext(log.read(16))).position == 17
        await _refused(log, 3)
    with pytest.raises(PositionArchived, match="4 to 16 were archived"):
        list(read_log(tmp_path, 3))


async def _refused(log: EventLog, after: int) -> None:
    with pytest.raises(PositionArchived, match=f"{after + 1} to 16 were archived"):
        async for _ in log.read(after):
            pass


async def test_a_bookmark_is_good_across_an_archiving(tmp_path: Path) -> None:
    await written(tmp_path)
    scan = Scan(DiskStorage(tmp_path))
    list(scan.commits())
    bookmark = scan.bookmark()
    await archived(tmp_path)
    async with open_log(tmp_path, OPTIONS, start=bookmark) as log:
        assert log.version("s0") == 12


async def test_a_copy_that_differs_keeps_the_original(tmp_path: Path) -> None:
    await written(tmp_path / "log")
    (tmp_path / "kept").mkdir(mode=0o700)
    first = names(tmp_path / "log")[0]
    (tmp_path / "kept" / first).write_bytes(b"something else")
    before = names(tmp_path / "log")
    with pytest.raises(NotArchivable, match="differs"):
        await archived(tmp_path / "log", tmp_path / "kept")
    assert set(before) <= set(names(tmp_path / "log"))


async def test_events_that_contradict_the_base_are_damage(tmp_path: Path) -> None:
    await written(tmp_path / "log")
    async with open_log(tmp_path / "log", OPTIONS) as log:
        log._versions["s0"] += 1  # a writer that loses count
        await log.append_base(STATE, 17)
    list(verify_log(tmp_path / "log"))
    drop_segments(DiskStorage(tmp_path / "log"), 17)
    with pytest.raises(CorruptLog, match="contradicts"):
        list(verify_log(tmp_path / "log"))


@pytest.mark.parametrize("name", ["log", "link"])
async def test_an_archive_in_a_log_s_directory_is_refused(tmp_path: Path, name: str) -> None:
    await written(tmp_path / "log")
    (tmp_path / "link").symlink_to(tmp_path / "log")
    before = list(read_log(tmp_path / "log"))
    with pytest.raises(NotArchivable, match="that of a log"):
        await archived(tmp_path / "log", tmp_path / name)
    assert list(read_log(tmp_path / "log"))[: len(before)] == before


class Cut(Exception):
    """The machine stops."""


async def test_an_interruption_anywhere_leaves_a_log_that_opens_and_can_be_archived_again(
    tmp_path: Path,
) -> None:
    await written(tmp_path / "log")
    async with open_log(tmp_path / "log", OPTIONS) as log:
        await log.append_base(STATE, 17)
    expected = [record for record in read_log(tmp_path / "log") if record.position > 16]
    for allowed in range(100):
        shutil.copytree(tmp_path / "log", tmp_path / "try")
        if not _stopped_after(allowed, tmp_path):
            break
        drop_segments(DiskStorage(tmp_path / "try"), 17, DiskStorage(tmp_path / "kept"))
        assert list(read_log(tmp_path / "try")) == expected
        assert [record.position for record in read_log(tmp_path / "kept")] == [*range(1, 17)]
        shutil.rmtree(tmp_path / "try")
        shutil.rmtree(tmp_path / "kept")
    assert allowed > 10


def _stopped_after(allowed: int, root: Path) -> bool:
    steps = iter(range(allowed))

    def spoil(*_: object) -> None:
        if next(steps, None) is None:
            raise Cut

    try:
        target = FaultyStorage(DiskStorage(root / "kept"), spoil)
        drop_segments(FaultyStorage(DiskStorage(root / "try"), spoil), 17, target)
    except Cut:
        list(read_log(root / "try"))
        return True
    return False


async def test_only_what_is_sealed_and_wholly_older_is_dropped(tmp_path: Path) -> None:
    await written(tmp_path)
    found = droppable(DiskStorage(tmp_path), 10)
    assert [one.name for one in found] == names(tmp_path)[: len(found)]
    assert found[-1].last < 10
    assert droppable(DiskStorage(tmp_path), 1) == []
