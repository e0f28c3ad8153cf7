"""What is taken from the disk, also while somebody else takes from it."""

import fcntl
import os
from pathlib import Path

import pytest

from supervisor.host.cleanup import prune, release, remove
from supervisor.vm import layout
from tests.artifacts.observed_calls import just_before


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


def test_what_cannot_be_removed_is_said(vm: Path) -> None:
    with pytest.raises(NotADirectoryError):
        remove(vm / "launch-1" / layout.CONSOLE_LOG)


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


def test_a_release_keeps_the_logs(vm: Path) -> None:
    release(vm / "launch-1")
    assert {path.name for path in (vm / "launch-1").iterdir()} == {
        layout.CONSOLE_LOG,
        "a directory",
    }
