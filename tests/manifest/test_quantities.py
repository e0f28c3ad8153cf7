"""Sizes and durations: what people may write, what it means, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.written.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("256M", 256 * MIB),
        ("1.5G", 3 * GIB // 2),
        ("512 KiB", 512 * KIB),
        ("1kb", KIB),
        ("2 mib", 2 * MIB),
        ("1T", 1024 * GIB),
        ("0.5K", 512),
        ("7", 7),
        ("7B", 7),
        (" 7 ", 7),
        (4096, 4096),
        ("0", 0),
    ],
)
def test_a_size_is_read_in_powers_of_1024(written: str | int, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written",
    [
        "",
        "M",
        "-1",
        "1.M",
        ".5M",
        "1e6",
        "1,5G",
        "256 X",
        "1P",
        "1 M M",
        "٣M",
        "9" * 16,
        "0x10",
        -1,
    ],
)
def test_what_is_no_size_is_refused(written: str | int) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(written)


def test_a_fraction_of_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="not a whole number of bytes"):
        parse_size("0.3K")


@pytest.mark.parametrize(
    ("written", "duration_ms"),
    [
        ("500ms", 500),
        ("2 s", 2_000),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("1 h 30 m", 5_400_000),
        ("1.5h", 5_400_000),
        ("2d", 172_800_000),
        ("1s1ms", 1_001),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_with_its_units(written: str, duration_ms: int) -> None:
    assert parse_duration(written) == duration_ms


@pytest.mark.parametrize("written", ["", "10", "m", "-1s", "10 minutes", "1h 30", "1e3s", "1H"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(written)


@pytest.mark.parametrize("written", ["30m1h", "1m1m", "1ms1s"])
def test_units_of_a_duration_go_from_large_to_small(written: str) -> None:
    with pytest.raises(ValueError, match="from large to small"):
        parse_duration(written)


def test_a_fraction_of_a_millisecond_is_refused() -> None:
    with pytest.raises(ValueError, match="not a whole number of milliseconds"):
        parse_duration("1.0001s")


@given(st.integers(0, 10**15 - 1))
def test_every_size_survives_being_written_and_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**15 - 1))
def test_every_duration_survives_being_written_and_read(duration_ms: int) -> None:
    assert parse_duration(format_duration(duration_ms)) == duration_ms


def test_quantities_are_written_as_people_would() -> None:
    assert format_size(256 * MIB) == "256M"
    assert format_size(3 * GIB // 2) == "1536M"
    assert format_duration(5_400_000) == "1h30m"
    assert format_duration(0) == "0s"
