"""Files as streams: exact where the log says how long, patient where a guest still writes."""

from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from supervisor.api.files import CHUNK_BYTES, FileCut, read_exactly, read_growing


async def collected(path: Path, size: int) -> list[bytes]:
    async with aclosing(read_exactly(path, size)) as chunks:
        return [chunk async for chunk in chunks]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
async def test_exactly_the_bytes_that_were_promised_are_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * size + b"and more")
    chunks = await collected(path, size)
    assert b"".join(chunks) == b"x" * size
    assert all(len(chunk) <= CHUNK_BYTES for chunk in chunks)


async def test_a_file_that_is_shorter_than_promised_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with pytest.raises(FileCut, match="ends after 3 of 4 bytes"):
        await collected(path, 4)


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"abc")
    (tmp_path / "f").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        await collected(tmp_path / "f", 3)


async def test_a_file_that_does_not_exist_is_empty_for_a_reader(tmp_path: Path) -> None:
    async with aclosing(read_growing(lambda: tmp_path / "f", lambda: True)) as chunks:
        assert [chunk async for chunk in chunks] == []


class Guest:
    """Writes one more piece each time that the reader looks, then ends."""

    def __init__(self, *steps: tuple[Path, bytes]) -> None:
        self.steps = list(steps)
        self.path = steps[0][0]

    def is_final(self) -> bool:
        """Take the next step; return whether it was the last."""
        self.path, content = self.steps.pop(0)
        self.path.write_bytes(content)
        return not self.steps


async def followed(guest: Guest) -> bytes:
    with trio.fail_after(60):
        async with aclosing(read_growing(lambda: guest.path, guest.is_final)) as chunks:
            return b"".join([chunk async for chunk in chunks])


async def test_a_follower_sees_what_is_written_last(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert await followed(Guest((path, b"one"), (path, b"one two"))) == b"one two"


async def test_a_follower_reads_a_rotated_file_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert await followed(Guest((path, b"old words "), (path, b"new"))) == b"old words new"


async def test_a_follower_goes_on_to_the_file_of_the_next_launch(tmp_path: Path) -> None:
    guest = Guest((tmp_path / "1", b"first "), (tmp_path / "2", b"second"))
    assert await followed(guest) == b"first second"
