"""Who may write where: locks, owners, rights, formats, and files that do not belong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
import trio

from eventlog import (
    CorruptLog,
    ForeignSegment,
    LogFenced,
    LogLocked,
    LogNotWritable,
    LogOptions,
    LogPoisoned,
    UnsupportedFormat,
    open_log,
    read_log,
    verify_log,
)
from tests.eventlog.samples import event

OPTIONS = LogOptions(segment_bytes=4096)

HOLDER = """
import sys, trio
from pathlib import Path
from eventlog import open_log

async def hold():
    async with open_log(Path(sys.argv[1])):
        print("held", flush=True)
        await trio.sleep_forever()

trio.run(hold)
"""


async def _write(directory: Path, lives: int = 1, events: int = 12) -> list[Path]:
    """Returns the segments, oldest first."""
    for _ in range(lives):
        async with open_log(directory, OPTIONS) as log:
            for n in range(events):
                await log.append([event(str(n), payload=b"\1" * 600)])
    return _segments(directory)


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def _open(directory: Path) -> None:
    async with open_log(directory, OPTIONS):
        pass


async def _refused(directory: Path, error: type[Exception], match: str) -> None:
    before = _contents(directory)
    with pytest.raises(error, match=match):
        await _open(directory)
    with pytest.raises(error, match=match):
        list(verify_log(directory))
    after = _contents(directory)
    assert {name: data for name, data in after.items() if name != "lock"} == {
        name: data for name, data in before.items() if name != "lock"
    }


async def test_a_second_writer_is_refused_and_told_who_holds_the_log(tmp_path: Path) -> None:
    async with open_log(tmp_path, OPTIONS) as log:
        with pytest.raises(LogLocked, match=f"process {os.getpid()}") as caught:
            await _open(tmp_path)
        assert caught.value.pid == os.getpid()
        await log.append([event("unharmed")])
    await _open(tmp_path)


def test_a_writer_in_another_process_is_named_by_its_pid(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LogLocked) as caught:
            trio.run(_open, tmp_path)
        assert caught.value.pid == holder.pid
        holder.kill()
    trio.run(_open, tmp_path)


def _removed(lock: Path) -> None:
    lock.unlink()


def _renamed(lock: Path) -> None:
    lock.rename(lock.with_name("elsewhere"))


def _replaced(lock: Path) -> None:
    lock.with_name("new").touch()
    lock.with_name("new").rename(lock)


@pytest.mark.parametrize("lose", [_removed, _renamed, _replaced])
async def test_a_writer_whose_lock_file_lost_its_name_stops(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    async with open_log(tmp_path, OPTIONS) as stale:
        await stale.append([event("first")])
        lose(tmp_path / "lock")
        async with open_log(tmp_path, OPTIONS) as fresh:
            with pytest.raises(LogPoisoned) as caught:
                await stale.append([event("stale")])
            assert isinstance(caught.value.__cause__, LogFenced)
            await fresh.append([event("fresh")])
    assert [record.event_id for record in read_log(tmp_path)] == ["first", "fresh"]


async def test_each_life_is_an_epoch_and_an_empty_life_leaves_no_segment(tmp_path: Path) -> None:
    await _write(tmp_path, lives=1, events=1)
    await _open(tmp_path)
    await _open(tmp_path)
    await _write(tmp_path, lives=1, events=1)
    assert [(one.first, one.last, one.epoch) for one in verify_log(tmp_path)] == [
        (1, 1, 1),
        (2, 2, 4),
    ]
    assert [record.epoch for record in read_log(tmp_path)] == [1, 4]


async def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    segments = await _write(tmp_path)
    segments[1].unlink()
    await _refused(tmp_path, ForeignSegment, "events from .* are missing")


async def test_a_missing_first_segment_is_named(tmp_path: Path) -> None:
    segments = await _write(tmp_path)
    segments[0].unlink()
    await _refused(tmp_path, ForeignSegment, "events from 1 to .* are missing")


async def test_a_missing_last_segment_is_noticed(tmp_path: Path) -> None:
    segments = await _write(tmp_path)
    segments[-1].unlink()
    await _refused(tmp_path, CorruptLog, "12 events were acknowledged")


async def test_a_log_without_its_segments_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    for segment in await _write(tmp_path):
        segment.unlink()
    await _refused(tmp_path, ForeignSegment, "all 12 events are missing")


async def test_another_history_of_the_same_log_is_noticed(tmp_path: Path) -> None:
    await _write(tmp_path / "log")
    backup = _contents(tmp_path / "log")
    await _write(tmp_path / "log")
    diverged = (tmp_path / "log" / "tip").read_bytes()
    for path in (tmp_path / "log").iterdir():
        path.unlink()
    for name, data in backup.items():
        (tmp_path / "log" / name).write_bytes(data)
    async with open_log(tmp_path / "log", OPTIONS) as log:
        for n in range(20):
            await log.append([event(f"other {n}")])
    (tmp_path / "log" / "tip").write_bytes(diverged)
    await _refused(tmp_path / "log", ForeignSegment, "another history was acknowledged")


async def test_a_newer_format_is_told_from_damage(tmp_path: Path) -> None:
    (segment,) = await _write(tmp_path, events=1)
    header = bytearray(segment.read_bytes()[:512])
    header[8] = 2
    header[508:] = google_crc32c.value(bytes(header[:508])).to_bytes(4, "little")
    with segment.open("r+b") as file:
        file.write(header)
    await _refused(tmp_path, UnsupportedFormat, "format version 2")


async def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    directory = tmp_path / "log"
    directory.mkdir()
    os.chown(directory, 12345, -1)
    with pytest.raises(LogNotWritable, match="belongs to user 12345"):
        await _open(directory)
    assert list(directory.iterdir()) == []


async def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no directory")
    with pytest.raises(LogNotWritable):
        await _open(tmp_path / "log")


async def test_a_damaged_tip_is_written_anew(tmp_path: Path) -> None:
    await _write(tmp_path, events=2)
    (tmp_path / "tip").write_bytes(b"garbage")
    await _write(tmp_path, events=2)
    assert len(list(read_log(tmp_path))) == 4


async def test_a_torn_write_is_kept_and_recorded_in_the_log(tmp_path: Path) -> None:
    (segment,) = await _write(tmp_path, events=1)
    torn = b"\x01" * 200
    with segment.open("r+b") as file:
        file.seek(2048)
        file.write(torn)
    async with open_log(tmp_path, OPTIONS) as log:
        (repair,) = [record async for record in log.read(1)]
    assert (repair.stream, repair.type) == ("log", "log.repaired.v1")
    kept = tmp_path / repair.event_id
    assert kept.name == f"{segment.name}.torn-1"
    assert kept.read_bytes().endswith(torn)
    await _open(tmp_path)
    assert len(list(read_log(tmp_path))) == 2


@pytest.mark.parametrize("segment_bytes", [0, 4095, 2**31])
def test_a_segment_size_out_of_bounds_is_refused(segment_bytes: int) -> None:
    with pytest.raises(ValueError, match="segment_bytes"):
        LogOptions(segment_bytes=segment_bytes)


@pytest.mark.parametrize("node_id", ["", "n" * 129, "a\0b"])
def test_a_node_id_that_the_header_cannot_hold_is_refused(node_id: str) -> None:
    with pytest.raises(ValueError, match="node_id"):
        LogOptions(node_id=node_id)
