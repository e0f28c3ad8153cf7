"""The results disk: taken byte for byte when its header vouches for it, else refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.artifacts.store import ArtifactStore
from supervisor.host.results_disk import ResultInvalid, collect, make_results_disk, parse_header
from supervisor.vm import layout
from supervisor.vm.effects import CollectResult
from supervisor.vm.observations import ResultCollected, ResultRefused

LAUNCH = 2
LIMIT = 3000
TAR = bytes(range(256)) * 8


def header(
    launch: int = LAUNCH, length: int = len(TAR), exit_code: int = 0, error: str = ""
) -> bytes:
    text = f"CHRONOVISOR-RESULT\n0001\n{launch:020}\n{length:020}\n{exit_code:03}\n{error:32}\n"
    return text.encode().ljust(512, b"\0")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    make_results_disk(tmp_path / layout.RESULTS_DISK, LIMIT)
    return tmp_path / layout.RESULTS_DISK


def collected(disk: Path, limit: int = LIMIT) -> ResultCollected | ResultRefused:
    store = ArtifactStore(disk.parent / "artifacts")
    seen = collect(CollectResult(LAUNCH, str(disk.parent), limit), store)
    if isinstance(seen, ResultCollected):
        assert store.path(seen.sha256).read_bytes() == TAR[: seen.size]
    else:
        assert not [path for path in store.directory.rglob("*") if path.is_file()]
    return seen


def write(disk: Path, content: bytes) -> None:
    with disk.open("r+b") as file:
        file.write(content)


def test_a_disk_has_whole_sectors_and_takes_no_room(disk: Path) -> None:
    assert disk.stat().st_size == 512 + 3072
    assert disk.stat().st_blocks == 0
    assert disk.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [1, 511, len(TAR)])
def test_exactly_the_bytes_of_the_header_are_taken(disk: Path, length: int) -> None:
    write(disk, header(length=length, exit_code=3) + TAR)
    seen = collected(disk)
    assert isinstance(seen, ResultCollected)
    assert (seen.launch, seen.size, seen.exit_code) == (LAUNCH, length, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "was never written"),
        (b"\xff" * 512, "is damaged"),
        (header()[:-1] + b"x", "is damaged"),
        (header().replace(b"0001", b"0002"), "is damaged"),
        (header().replace(b"CHRONO", b"CHRONI"), "is damaged"),
        (header().replace(b"\n00000000000000002048\n", b"\n-0000000000000002048\n"), "damaged"),
        (header(launch=1), "was written for launch 1"),
        (header(length=LIMIT + 1), "3001 bytes, but 3000 are allowed"),
        (header(length=10**19), "are allowed"),
        (header(length=0, error="result-too-large"), "no result: result-too-large"),
        (header(length=0), "gave no reason"),
        (header(exit_code=256), "exit code 256"),
    ],
)
def test_anything_else_is_refused_with_its_reason(disk: Path, content: bytes, reason: str) -> None:
    write(disk, content)
    seen = collected(disk)
    assert isinstance(seen, ResultRefused)
    assert reason in seen.detail


def test_a_header_may_not_speak_of_more_than_the_disk_has(disk: Path) -> None:
    write(disk, header(length=3073))
    seen = collected(disk, limit=10**9)
    assert isinstance(seen, ResultRefused)
    assert "3072 are allowed" in seen.detail


def test_a_disk_that_became_a_link_is_not_followed(disk: Path) -> None:
    target = disk.with_name("elsewhere")
    disk.rename(target)
    write(target, header() + TAR)
    disk.symlink_to(target)
    assert isinstance(collected(disk), ResultRefused)


def test_a_disk_that_is_gone_is_refused(disk: Path) -> None:
    disk.unlink()
    assert isinstance(collected(disk), ResultRefused)


@given(st.binary(max_size=600))
def test_any_sector_is_read_or_refused(sector: bytes) -> None:
    with pytest.raises(ResultInvalid):
        parse_header(sector)


@given(st.integers(0, 10**20 - 1), st.integers(0, 10**20 - 1), st.integers(0, 255))
def test_a_header_is_read_as_it_was_written(launch: int, length: int, exit_code: int) -> None:
    parsed = parse_header(header(launch, length, exit_code, "result-failed"))
    assert (parsed.launch, parsed.length, parsed.exit_code) == (launch, length, exit_code)
    assert parsed.error == "result-failed"
