"""The store: what is found under a digest is those bytes, and what failed left nothing."""

import hashlib
import os
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.artifacts.errors import ArtifactTooLarge, DigestMismatch, UnknownArtifact
from supervisor.artifacts.store import ArtifactStore
from tests.artifacts.observed_calls import just_before

CONTENT = b"columns,of,numbers\n" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


async def pieces(content: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def files(store: ArtifactStore) -> list[str]:
    return sorted(
        str(path.relative_to(store.directory))
        for path in store.directory.rglob("*")
        if path.is_file()
    )


async def test_what_was_stored_is_found_by_its_digest(store: ArtifactStore) -> None:
    stored = await store.add(pieces(CONTENT), limit_bytes=len(CONTENT), expected=SHA256)
    assert (stored.sha256, stored.size) == (SHA256, len(CONTENT))
    assert store.path(SHA256).read_bytes() == CONTENT
    assert store.size(SHA256) == len(CONTENT)
    with store.open(SHA256) as file:
        assert file.read() == CONTENT


async def test_files_are_read_only_and_directories_private(store: ArtifactStore) -> None:
    await store.add(pieces(CONTENT), limit_bytes=len(CONTENT))
    path = store.path(SHA256)
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert store.directory.stat().st_mode & 0o777 == 0o700


def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_its_name_is(
    store: ArtifactStore,
) -> None:
    name = f"{SHA256[:2]}/{SHA256[2:]}"
    synced: list[tuple[str, int]] = []

    def look() -> None:
        (path,) = files(store)
        synced.append((path, (store.directory / path).stat().st_size))

    with store.receive(limit_bytes=len(CONTENT)) as upload, just_before(os.fsync, look):
        (incoming,) = files(store)
        for line in CONTENT.splitlines(keepends=True):
            upload.write(line)
        upload.commit()
    whole = len(CONTENT)
    assert synced == [(incoming, whole), (name, whole), (name, whole)]


async def test_the_same_bytes_are_stored_once(store: ArtifactStore) -> None:
    first = await store.add(pieces(CONTENT), limit_bytes=len(CONTENT))
    assert await store.add(pieces(CONTENT, 100), limit_bytes=len(CONTENT)) == first
    assert files(store) == [f"{SHA256[:2]}/{SHA256[2:]}"]


async def test_nothing_is_an_artifact_too(store: ArtifactStore) -> None:
    assert (await store.add(pieces(b""), limit_bytes=0)).size == 0


async def test_an_upload_over_the_limit_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactTooLarge, match=r"limit of 100 bytes"):
        await store.add(pieces(CONTENT), limit_bytes=100)
    assert files(store) == []


async def test_an_upload_with_another_digest_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(DigestMismatch, match=SHA256) as failure:
        await store.add(pieces(CONTENT), limit_bytes=10**6, expected="0" * 64)
    assert (failure.value.expected, failure.value.actual) == ("0" * 64, SHA256)
    assert files(store) == []


async def test_an_upload_that_breaks_off_leaves_nothing(store: ArtifactStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.add(broken(), limit_bytes=10**6)
    assert files(store) == []


async def test_an_upload_that_is_cancelled_leaves_nothing(store: ArtifactStore) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield CONTENT
        await trio.sleep_forever()

    async def upload() -> None:
        await store.add(stuck(), limit_bytes=10**6)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upload)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(files(store)) == 1
        nursery.cancel_scope.cancel()
    assert files(store) == []


async def test_what_a_killed_daemon_left_is_gone_at_the_next_start(store: ArtifactStore) -> None:
    await store.add(pieces(CONTENT), limit_bytes=10**6)
    (store.directory / "incoming" / "left").write_bytes(b"half")
    again = ArtifactStore(store.directory)
    assert files(again) == [f"{SHA256[:2]}/{SHA256[2:]}"]


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", "", "0" * 63 + "\n", "A" * 64])
def test_what_was_never_stored_is_unknown(store: ArtifactStore, digest: str) -> None:
    with pytest.raises(UnknownArtifact):
        store.path(digest)


@pytest.fixture
def small_files() -> Iterator[int]:
    """A limit on file sizes, as a stand-in for a disk that cannot take more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield 8192
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_file_that_cannot_grow_leaves_nothing(
    store: ArtifactStore, small_files: int
) -> None:
    with pytest.raises(OSError, match=os.strerror(27)):
        await store.add(pieces(CONTENT), limit_bytes=10**6)
    assert files(store) == []
