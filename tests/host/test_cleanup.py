"""What is taken from the disk, also while somebody else takes from it."""

import fcntl
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.host.cleanup import TOLD_CHARACTERS, Unremovable, prune, release, remove
from supervisor.vm import layout
from tests.artifacts.observed_calls import just_before


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Make a file one that not even root may remove; skips where only root may ask for that."""
    tool = shutil.which("chattr")
    if tool is None or subprocess.run([tool, "+i", path], check=False).returncode:
        pytest.skip("no file can be made immutable here")
    try:
        yield
    finally:
        subprocess.run([tool, "-i", path], check=True)


@pytest.fixture
def vm(tmp_path: Path) -> Path:
    """A VM's directory with two launches of a few files each."""
    vm = tmp_path / "vm"
    for number in (1, 2):
        launch = vm / layout.launch_directory(number)
        (launch / "a directory").mkdir(parents=True)
        for name in (layout.QMP_SOCKET, layout.RESULTS_DISK, layout.CONSOLE_LOG):
            (launch / name).touch()
    return vm


def test_a_directory_is_removed_with_everything_in_it(vm: Path) -> None:
    remove(vm)
    assert not vm.exists()


def test_a_directory_that_is_missing_is_as_good_as_removed(vm: Path) -> None:
    remove(vm / "missing")
    assert vm.exists()


def test_files_that_vanish_meanwhile_do_not_keep_the_others(vm: Path) -> None:
    def somebody_releases() -> None:
        for launch in vm.iterdir():
            release(launch)

    with just_before(os.unlink, somebody_releases):
        remove(vm)
    assert not vm.exists()


def test_a_directory_that_vanishes_meanwhile_does_not_keep_the_others(vm: Path) -> None:
    def somebody_removes() -> None:
        for directory in vm.glob("*/a directory"):
            directory.rmdir()

    with just_before(os.rmdir, somebody_removes):
        remove(vm)
    assert not vm.exists()


def test_what_is_no_directory_is_not_removed_and_said(vm: Path) -> None:
    log = vm / "launch-1" / layout.CONSOLE_LOG
    with pytest.raises(Unremovable, match=f"{log}: Not a directory"):
        remove(log)
    assert log.exists()


def test_what_cannot_be_removed_is_said_once_all_the_rest_is_gone(vm: Path) -> None:
    kept = vm / "launch-1" / layout.CONSOLE_LOG
    with immutable(kept), pytest.raises(Unremovable, match=f"{kept}: Operation not permitted"):
        remove(vm)
    assert {path for path in vm.rglob("*") if path.is_file()} == {kept}
    remove(vm)
    assert not vm.exists()


def test_a_name_that_somebody_else_chose_is_told_in_bounds(tmp_path: Path) -> None:
    deep = tmp_path / "vm" / os.fsdecode(b"\xff\x1b") / ("d" * 200) / ("e" * 200) / "file"
    deep.parent.mkdir(parents=True)
    deep.touch()
    with immutable(deep), pytest.raises(Unremovable) as caught:
        remove(tmp_path / "vm")
    told = str(caught.value)
    assert len(told) <= TOLD_CHARACTERS
    assert told.isprintable()
    assert told.endswith("Operation not permitted")


def test_logs_of_launches_long_past_are_let_go_of(tmp_path: Path) -> None:
    names = [*(layout.launch_directory(number) for number in (1, 2, 6, 7, 10)), "launch-x"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / layout.CONSOLE_LOG).touch()
    with (tmp_path / "launch-2" / layout.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prune(tmp_path, 10)
    left = {directory.name for directory in tmp_path.iterdir()}
    assert left == {"launch-2", "launch-7", "launch-10", "launch-x"}


def test_a_launch_long_past_that_cannot_be_removed_keeps_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "launch-1").touch()
    (tmp_path / "launch-2").mkdir()
    with caplog.at_level(logging.WARNING):
        prune(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["launch-1"]
    assert "launch-1 stays until its VM is deleted" in caplog.text


def test_a_file_that_cannot_be_released_keeps_no_other(
    vm: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = vm / "launch-1" / layout.INPUTS_DISK
    odd.mkdir()
    with caplog.at_level(logging.WARNING):
        release(vm / "launch-1")
    assert {path.name for path in (vm / "launch-1").iterdir()} == {
        layout.INPUTS_DISK,
        layout.CONSOLE_LOG,
        "a directory",
    }
    assert f"{odd} stays until its VM is deleted" in caplog.text


def test_a_file_in_a_launch_s_place_holds_nothing_to_release(tmp_path: Path) -> None:
    (tmp_path / "launch-1").touch()
    release(tmp_path / "launch-1")


def test_a_release_keeps_the_logs(vm: Path) -> None:
    release(vm / "launch-1")
    assert {path.name for path in (vm / "launch-1").iterdir()} == {
        layout.CONSOLE_LOG,
        "a directory",
    }
