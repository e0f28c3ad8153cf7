"""Directories that a log cannot be opened in: one clear sentence, and not a byte changed.

What is in the files is held against the bytes before. Missing, renamed and diverging segments are
in `test_log_directory`.
"""

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import pytest

from eventlog import (
    EventLogError,
    ForeignSegment,
    LogLocked,
    LogNotWritable,
    LogOptions,
    Spare,
    UnsupportedFormat,
    open_log,
    read_log,
    verify_log,
)
from eventlog.repair import repair_end
from eventlog.salvage import salvage
from eventlog.storage import DiskStorage
from tests.eventlog.samples import event

OPTIONS = LogOptions(segment_bytes=4096)
NOBODY = 65534
EVENTS = 12

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: users and mounts")


async def _write(directory: Path, events: int = EVENTS) -> None:
    async with open_log(directory, OPTIONS) as log:
        for n in range(events):
            await log.append([event(f"{log.epoch}.{n}", payload=b"\1" * 600)])


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _ids(directory: Path) -> list[str]:
    return [record.event_id for record in read_log(directory)]


async def _refused(directory: Path, error: type[EventLogError], match: str) -> None:
    before = _contents(directory)
    with pytest.raises(error, match=match):
        async with open_log(directory, OPTIONS):
            pass
    after = _contents(directory)
    # The lock names its last holder; a log that was copied without it gets one.
    assert after | {"lock": b""} == before | {"lock": b""}


@contextmanager
def _as(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def _filesystem(options: str) -> Iterator[Path]:
    """A small filesystem in memory; skips where it cannot be mounted."""
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size=64k,{options}", "tmpfs", name]
        done = subprocess.run(mount, capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def _fill(directory: Path) -> None:
    """Take the last page of a filesystem."""
    with (
        (directory / "ballast").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        _write_for_ever(file)


def _write_for_ever(file: io.RawIOBase) -> None:
    while True:
        file.write(bytes(4096))


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def _mark_as_newer(segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    data[8] = 9
    data[508:512] = google_crc32c.value(bytes(data[:508])).to_bytes(4, "little")
    segment.chmod(0o600)
    segment.write_bytes(data)


def _remount_read_only(mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)


@contextmanager
def _directory_to_look_at_only() -> Iterator[Path]:
    # Not under tmp_path, which only its owner may enter.
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, -1)
        os.chmod(name, 0o500)
        yield Path(name)


@needs_root
async def test_a_directory_without_the_right_to_write_is_refused() -> None:
    with _directory_to_look_at_only() as directory:
        with _as(NOBODY), pytest.raises(LogNotWritable, match="Permission denied"):
            async with open_log(directory, OPTIONS):
                pass
        assert _contents(directory) == {}


@needs_root
async def test_a_log_on_a_filesystem_that_is_read_only_is_refused_but_can_be_read() -> None:
    with _filesystem("rw") as mounted:
        await _write(mounted / "log", events=3)
        before = _contents(mounted / "log")
        _remount_read_only(mounted)
        with pytest.raises(LogNotWritable, match="Read-only file system"):
            async with open_log(mounted / "log", OPTIONS):
                pass
        assert _contents(mounted / "log") == before
        assert len(_ids(mounted / "log")) == 3


@needs_root
async def test_a_new_log_on_a_full_disk_is_refused_and_begins_once_there_is_room() -> None:
    with _filesystem("rw") as mounted:
        (mounted / "log").mkdir(mode=0o700)
        _fill(mounted)
        with pytest.raises(LogNotWritable, match="No space left"):
            async with open_log(mounted / "log", OPTIONS):
                pass
        assert _segments(mounted / "log") == []
        (mounted / "ballast").unlink()
        await _write(mounted / "log", events=1)
        assert len(_ids(mounted / "log")) == 1


@needs_root
async def test_a_log_on_a_full_disk_still_opens_with_the_spare_it_holds() -> None:
    with _filesystem("rw") as mounted:
        await _write(mounted / "log", events=3)
        _fill(mounted)
        async with open_log(mounted / "log", OPTIONS) as log:
            assert log.spare is Spare.MISSING
            await log.append([event("the last word")])
        assert _ids(mounted / "log") == ["1.0", "1.1", "1.2", "the last word"]


@needs_root
async def test_a_log_of_another_user_is_refused(tmp_path: Path) -> None:
    await _write(tmp_path / "log")
    os.chown(tmp_path / "log", NOBODY, -1)
    before = _contents(tmp_path / "log")
    await _refused(tmp_path / "log", LogNotWritable, f"belongs to user {NOBODY}")
    assert _contents(tmp_path / "log") == before


@needs_root
async def test_a_repair_leaves_the_log_of_another_user_alone(tmp_path: Path) -> None:
    await _write(tmp_path / "log")
    os.chown(tmp_path / "log", NOBODY, -1)
    (tmp_path / "log" / "lock").unlink()
    before = _contents(tmp_path / "log")
    with pytest.raises(LogNotWritable, match=f"belongs to user {NOBODY}"):
        repair_end(DiskStorage(tmp_path / "log"), sealed_at=1)
    assert _contents(tmp_path / "log") == before


def _as_fifo(path: Path) -> None:
    os.mkfifo(path)


def _as_directory(path: Path) -> None:
    path.mkdir()


def _as_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_as_fifo, _as_directory, _as_link])
@pytest.mark.parametrize("name", ["tip", f"{1:020}.log", f"{5:020}.log"])
async def test_what_is_no_file_is_named_and_nobody_waits_for_it(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    log = tmp_path / "log"
    await _write(log)
    (log / name).unlink(missing_ok=True)
    make(log / name)
    refusal = f"{name} does not belong here: it is not a regular file"
    with pytest.raises(ForeignSegment, match=refusal):
        async with open_log(log, OPTIONS):
            pass
    with pytest.raises(ForeignSegment, match=refusal):
        list(verify_log(log))
    if name.endswith(".log"):
        told = [each for each in salvage(DiskStorage(log)) if isinstance(each, EventLogError)]
        assert refusal in str(told[0])


async def test_a_second_writer_changes_nothing_not_even_the_lock(tmp_path: Path) -> None:
    async with open_log(tmp_path, OPTIONS) as log:
        await log.append([event("mine")])
        before = _contents(tmp_path)
        await _refused(tmp_path, LogLocked, "is being written by process")
        assert _contents(tmp_path) == before
        await log.append([event("mine still")])
    assert _ids(tmp_path) == ["mine", "mine still"]


async def test_a_lock_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"do not overwrite")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "lock").symlink_to(precious)
    with pytest.raises(ForeignSegment, match="lock does not belong here: it is not a regular"):
        async with open_log(tmp_path / "log", OPTIONS):
            pass
    assert precious.read_bytes() == b"do not overwrite"


@pytest.mark.parametrize("at", [0, 1, -1], ids=["first", "middle", "last"])
async def test_a_newer_format_anywhere_is_named_and_nothing_is_cut(tmp_path: Path, at: int) -> None:
    await _write(tmp_path)
    segment = _segments(tmp_path)[at]
    _mark_as_newer(segment)
    await _refused(tmp_path, UnsupportedFormat, f"{segment.name} has format version 9")


async def test_segments_of_two_logs_are_refused_though_their_positions_fit(tmp_path: Path) -> None:
    for name in ("one", "other"):
        await _write(tmp_path / name)
    segments = _segments(tmp_path / "other")
    shutil.copy(segments[1], tmp_path / "one" / segments[1].name)
    await _refused(tmp_path / "one", ForeignSegment, f"{segments[1].name} does not belong here")


async def test_a_tip_of_another_log_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        await _write(tmp_path / name)
    shutil.copy(tmp_path / "other" / "tip", tmp_path / "one" / "tip")
    await _refused(tmp_path / "one", ForeignSegment, "it is of log")


async def test_a_segment_missing_in_the_middle_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    await _write(tmp_path)
    first, second, *_ = _segments(tmp_path)
    second.unlink()
    await _refused(tmp_path, ForeignSegment, r"events from \d+ to \d+ are missing")
    assert first.exists()


async def test_a_clock_that_jumps_back_never_makes_time_run_backwards(tmp_path: Path) -> None:
    clock = iter(range(2_000, 0, -1))
    options = LogOptions(segment_bytes=4096, clock=lambda: next(clock))
    for life in range(3):
        async with open_log(tmp_path, options) as log:
            for n in range(EVENTS):
                await log.append([event(f"{life}.{n}", payload=b"\1" * 600)])
    times = [record.recorded_at for record in read_log(tmp_path)]
    assert times == sorted(times)
    assert len(times) == 3 * EVENTS
    assert list(verify_log(tmp_path))[-1].last == 3 * EVENTS
