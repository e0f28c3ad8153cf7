"""Logs of a launch: bounded while somebody else writes them, and fit to be shown."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.host.logs import BoundedLog, older_generation, rotate, tail
from supervisor.host.text import printable


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "console.log"


def test_a_log_within_its_half_is_left_alone(log: Path) -> None:
    log.write_bytes(b"x" * 50)
    rotate(log, 100)
    assert log.stat().st_size == 50
    assert not older_generation(log).exists()


def test_whoever_appends_goes_on_after_the_rotation(log: Path) -> None:
    with log.open("ab", buffering=0) as qemu:
        qemu.write(b"old" * 30 + b"end")
        rotate(log, 100)
        qemu.write(b"new")
    assert log.read_bytes() == b"new"
    assert older_generation(log).read_bytes() == (b"old" * 30 + b"end")[-50:]


def test_a_log_that_is_missing_needs_no_rotation(log: Path) -> None:
    rotate(log, 100)
    assert not log.exists()


def test_a_log_is_emptied_even_where_nothing_older_can_be_kept(log: Path) -> None:
    log.write_bytes(b"x" * 100)
    older_generation(log).mkdir()  # as good as a full disk: it cannot be written
    rotate(log, 100)
    assert log.read_bytes() == b""


def test_both_generations_together_keep_the_bound(log: Path) -> None:
    with BoundedLog(log, 1000) as bounded:
        for number in range(500):
            bounded.write(f"line {number}")
            older = older_generation(log)
            size = log.stat().st_size + (older.stat().st_size if older.exists() else 0)
            assert size <= 1000
    lines = (older_generation(log).read_text() + log.read_text()).splitlines()
    assert lines == [f"line {number}" for number in range(500 - len(lines), 500)]
    assert len(lines) > 40


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """Lower a resource limit of this process for a moment."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def test_a_line_that_a_full_disk_refuses_ends_nothing(log: Path) -> None:
    with BoundedLog(log, 1000) as bounded:
        bounded.write("kept")
        with limited(resource.RLIMIT_FSIZE, 5):  # as good as a full disk: no byte more is taken
            bounded.write("lost")
        bounded.write("and on")
    assert log.read_text() == "kept\nand on\n"


def test_a_log_that_cannot_be_opened_is_opened_for_the_next_line(log: Path) -> None:
    with BoundedLog(log, 1000) as bounded:
        with limited(resource.RLIMIT_NOFILE, 0):
            bounded.write("lost")
        bounded.write("kept")
    assert log.read_text() == "kept\n"


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_in_the_place_of_a_log_leads_nowhere(
    log: Path, link: Callable[[Path, Path], None]
) -> None:
    elsewhere = log.with_name("elsewhere")
    elsewhere.write_bytes(b"s" * 100)
    link(elsewhere, log)
    rotate(log, 100)
    with BoundedLog(log, 100) as bounded:
        bounded.write("lost")
    assert tail(log) == ""
    assert elsewhere.read_bytes() == b"s" * 100
    assert not older_generation(log).exists()


def test_a_link_in_the_place_of_an_older_generation_leads_nowhere(log: Path) -> None:
    elsewhere = log.with_name("elsewhere")
    elsewhere.write_bytes(b"s" * 100)
    os.symlink(elsewhere, older_generation(log))
    log.write_bytes(b"x" * 100)
    rotate(log, 100)
    assert log.read_bytes() == b""
    assert elsewhere.read_bytes() == b"s" * 100


def test_a_pipe_in_the_place_of_a_log_keeps_nobody_waiting(log: Path) -> None:
    os.mkfifo(log)
    assert tail(log) == ""
    with BoundedLog(log, 1000) as bounded:
        bounded.write("lost")


def test_the_tail_spans_both_generations(log: Path) -> None:
    older_generation(log).write_bytes(b"first\r\nsecond\r\n")
    log.write_bytes(b"third\xff\x1b[31m\n")
    assert tail(log) == "first\nsecond\nthird\ufffd\ufffd[31m"
    assert tail(log, 7) == "\ufffd\ufffd[31m"


def test_the_tail_of_nothing_is_empty(log: Path) -> None:
    assert tail(log) == ""


@pytest.mark.parametrize("character", ["\x1b", "\x00", "\x7f", "\x9b", "\r", "\u2028", "\ud800"])
def test_control_characters_are_replaced(character: str) -> None:
    assert printable(f"a{character}b\tc\nd") == "a\ufffdb\tc\nd"
