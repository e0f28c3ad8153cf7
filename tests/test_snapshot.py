"""Snapshots: the same state from less reading, and every file that is not believed."""

import logging
import shutil
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from eventlog import EventLog, LogOptions, NewEvent, open_log, read_log
from supervisor.journal import vm_stream
from supervisor.replay import replay
from supervisor.snapshot import FOLD, SnapshotUnfit, load_snapshot, read_snapshot, write_snapshot
from supervisor.snapshots import EVERY_EVENTS, LOOK_S, Snapshots
from tests.test_replay import lives

SMALL = LogOptions(segment_bytes=64 * 1024)


async def tell(log: EventLog, *stories: str) -> None:
    """Append the events of one VM per story."""
    for record in lives(*stories):
        event = NewEvent(
            record.stream, record.type, record.payload, record.event_id, tenant=record.tenant
        )
        await log.append([event])


async def state_directory(root: Path, *stories: str) -> Path:
    """A log of these stories with a snapshot of all of it beside it."""
    async with open_log(root / "log", SMALL) as log:
        await tell(log, *stories)
    snapshots = Snapshots(root / "log", root / "snapshot")
    snapshots.fold()
    snapshots.write()
    return root


async def test_a_snapshot_and_the_tail_give_the_hash_of_the_whole_log(tmp_path: Path) -> None:
    await state_directory(tmp_path, "computing", "deleted", "stopped")
    bookmark, _ = load_snapshot(tmp_path / "snapshot", tmp_path / "log")
    async with open_log(tmp_path / "log", SMALL, start=bookmark) as log:
        await tell(log, "paused", "failed")
        assert log.version(vm_stream("deleted")) > 1
    snapshots = Snapshots(tmp_path / "log", tmp_path / "snapshot")
    assert snapshots.bookmark == bookmark
    snapshots.fold()
    whole = replay(read_log(tmp_path / "log"))
    assert snapshots.world.digest() == whole.digest()
    assert snapshots.latest.vms == dict(whole.vms)
    assert snapshots.latest.position == log.head


def damaged(root: Path) -> None:
    file = root / "snapshot"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(root: Path) -> None:
    file = root / "snapshot"
    file.write_bytes(file.read_bytes()[:-1])


def older_format(root: Path) -> None:
    file = root / "snapshot"
    file.write_bytes(b"CVSNAP0\n" + file.read_bytes()[8:])


def other_version(root: Path) -> None:
    file = root / "snapshot"
    write_snapshot(file, msgspec.structs.replace(read_snapshot(file), fold="0.0.1"))


def other_state(root: Path) -> None:
    file = root / "snapshot"
    write_snapshot(file, msgspec.structs.replace(read_snapshot(file), world=b"\x80"))


def other_chain(root: Path) -> None:
    file = root / "snapshot"
    kept = read_snapshot(file)
    bookmark = msgspec.structs.replace(kept.bookmark, chain=bytes(32))
    write_snapshot(file, msgspec.structs.replace(kept, bookmark=bookmark))


def directory(root: Path) -> None:
    (root / "snapshot").unlink()
    (root / "snapshot").mkdir()


def log_gone(root: Path) -> None:
    shutil.rmtree(root / "log")


def newer_than_the_log(root: Path) -> None:
    shutil.rmtree(root / "log")
    shutil.copytree(root / "backup", root / "log")


UNFIT = {
    damaged: "it is damaged",
    cut: "it is damaged",
    older_format: "of another format",
    other_version: "another version of the program",
    other_state: "cannot be read",
    other_chain: "another history",
    directory: "it cannot be read",
    log_gone: "No such file",
    newer_than_the_log: "there is no segment",
}


@pytest.mark.parametrize("spoil", UNFIT, ids=lambda spoil: spoil.__name__)
async def test_a_snapshot_that_is_not_sound_is_left_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    root = tmp_path / "state"
    await state_directory(root, "computing")
    shutil.copytree(root / "log", root / "backup")
    bookmark, _ = load_snapshot(root / "snapshot", root / "log")
    async with open_log(root / "log", SMALL, start=bookmark) as log:
        await tell(log, "stopped")
    snapshots = Snapshots(root / "log", root / "snapshot")
    snapshots.fold()
    snapshots.write()
    assert callable(spoil)
    spoil(root)
    with pytest.raises(SnapshotUnfit, match=UNFIT[spoil]):
        load_snapshot(root / "snapshot", root / "log")
    with caplog.at_level(logging.WARNING):
        after = Snapshots(root / "log", root / "snapshot")
    assert "is not used" in caplog.text
    assert after.bookmark is None
    if (root / "log").exists():
        after.fold()
        assert after.world.digest() == replay(read_log(root / "log")).digest()


async def test_a_snapshot_of_another_log_is_left_aside(tmp_path: Path) -> None:
    await state_directory(tmp_path / "one", "computing")
    await state_directory(tmp_path / "other", "computing")
    with pytest.raises(SnapshotUnfit, match="it is of log"):
        load_snapshot(tmp_path / "one" / "snapshot", tmp_path / "other" / "log")


async def test_a_new_daemon_has_none_and_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = Snapshots(tmp_path / "log", tmp_path / "snapshot")
    assert snapshots.bookmark is None
    async with open_log(tmp_path / "log", SMALL):
        snapshots.fold()
        await snapshots.conclude()
    assert caplog.text == ""
    assert read_snapshot(tmp_path / "snapshot").bookmark.position == 0


async def test_a_disk_that_takes_no_snapshot_keeps_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await state_directory(tmp_path, "computing")
    kept = (tmp_path / "snapshot").read_bytes()
    (tmp_path / "snapshot.part").mkdir()
    snapshots = Snapshots(tmp_path / "log", tmp_path / "snapshot")
    snapshots.fold()
    snapshots.write()
    assert "no snapshot was written" in caplog.text
    assert (tmp_path / "snapshot").read_bytes() == kept


async def test_one_is_written_whenever_the_log_has_grown_enough(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    options = LogOptions(segment_bytes=4 * 1024 * 1024)
    async with open_log(tmp_path / "log", options) as log, trio.open_nursery() as nursery:
        snapshots = Snapshots(tmp_path / "log", tmp_path / "snapshot")
        snapshots.fold()
        nursery.start_soon(snapshots.keep, lambda: log.head)
        with trio.move_on_after(3 * LOOK_S):
            await trio.sleep_forever()
        assert not (tmp_path / "snapshot").exists()
        event = NewEvent("artifact/ab", "artifact.stored.v1", b"\x80", "id")
        for _ in range(0, EVERY_EVENTS, 1000):
            await log.append([event] * 1000)
        with trio.move_on_after(3 * LOOK_S):
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    assert read_snapshot(tmp_path / "snapshot").bookmark.position == EVERY_EVENTS
    assert snapshots.unwritten == 0


def test_every_version_has_a_fold_of_its_own() -> None:
    assert version("chronovisor") in FOLD
