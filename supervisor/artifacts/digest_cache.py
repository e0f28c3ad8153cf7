"""SHA-256 of files that rarely change, computed once for each version of a file.

A version is (device, inode, size, mtime, ctime): any write changes the ctime, which no program can
set back. Two writes within one tick of the file system's clock may leave the same ctime, so a
file that has only just changed is read again. The cache lives in memory only, because what a disk
says of itself is not evidence.
"""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from threading import Lock

ENTRY_LIMIT = 1024
"""Some 200 bytes an entry; a host has a few dozen images."""

SETTLED_NS = 2_000_000_000
"""The coarsest time stamps in use (FAT's) have two seconds; ext4's and XFS's have milliseconds."""

Version = tuple[int, int, int, int, int]


class DigestCache:
    """Digests by file version; threads may share it."""

    def __init__(self, limit: int = ENTRY_LIMIT, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._limit = limit
        self._now_ns = now_ns
        self._digests: OrderedDict[Version, str] = OrderedDict()
        self._lock = Lock()

    def sha256(self, path: Path) -> str:
        """Return the file's digest in hexadecimal. Blocks while it reads; raises OSError."""
        with path.open("rb") as file:
            return self.sha256_of(file)

    def sha256_of(self, file: BufferedReader) -> str:
        """The same for a file that is open, so that it is the one whose digest this is."""
        version = version_of(os.fstat(file.fileno()))
        with self._lock:
            if (known := self._digests.get(version)) is not None:
                self._digests.move_to_end(version)
                return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = os.fstat(file.fileno())
        if is_settled(status, self._now_ns()) and version_of(status) == version:
            self._keep(version, digest)
        return digest

    def _keep(self, version: Version, digest: str) -> None:
        with self._lock:
            self._digests[version] = digest
            if len(self._digests) > self._limit:
                self._digests.popitem(last=False)


def version_of(status: os.stat_result) -> Version:
    """Return what is another after any write, once the file :func:`is_settled`."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether a write from now on must change the version."""
    return now_ns - status.st_ctime_ns > SETTLED_NS
