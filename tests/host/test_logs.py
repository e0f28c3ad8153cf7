"""Logs of a launch: bounded while somebody else writes them, and fit to be shown."""

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


def test_a_line_that_a_full_disk_refuses_ends_nothing(log: Path) -> None:
    with BoundedLog(Path("/dev/full"), 1000) as bounded:
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
