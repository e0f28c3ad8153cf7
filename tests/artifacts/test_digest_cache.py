"""Digests by file version: read once, and again whenever the file may be another."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from supervisor.artifacts.digest_cache import SETTLED_NS, DigestCache


def much_later() -> int:
    return time.time_ns() + 10 * SETTLED_NS


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_change_of_the_same_size_and_mtime_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"first")
    cache = DigestCache()
    assert cache.sha256(path) == sha256(b"first")
    status = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.sha256(path) == sha256(b"other")


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1024 * 1024))
    cache = DigestCache(now_ns=much_later)
    cache.sha256(path)
    before = bytes_read()
    cache.sha256(path)
    assert bytes_read() - before < 1024 * 1024


@pytest.mark.parametrize(("age_ns", "reads"), [(0, 2), (SETTLED_NS, 2), (SETTLED_NS + 1, 1)])
def test_a_file_is_read_again_until_its_last_change_is_two_seconds_ago(
    tmp_path: Path, age_ns: int, reads: int
) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1024 * 1024))
    changed_ns = path.stat().st_ctime_ns
    cache = DigestCache(now_ns=lambda: changed_ns + age_ns)
    before = bytes_read()
    digests = {cache.sha256(path), cache.sha256(path)}
    assert digests == {sha256(bytes(1024 * 1024))}
    assert (bytes_read() - before) // (1024 * 1024) == reads


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    cache = DigestCache(2, much_later)
    for name in ("one", "two", "three", "one"):
        (tmp_path / name).write_bytes(name.encode())
        assert cache.sha256(tmp_path / name) == sha256(name.encode())


def bytes_read() -> int:
    """Return what this process has read so far (proc(5), io, rchar)."""
    return int(Path("/proc/self/io").read_text().split()[1])
