"""The content-addressed store: ``<2 hex>/<62 hex>``, read-only files in private directories.

A file has its name only once all of it is on the disk, so that whoever finds a digest finds the
bytes. Until then it lies in ``incoming/``, which is emptied when the daemon starts: an upload that
breaks off, or whose daemon is killed, leaves nothing.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import BinaryIO

import msgspec
import trio

from eventlog.storage import fsync_directory
from supervisor.artifacts.errors import (
    ArtifactTooLarge,
    DigestMismatch,
    StoreFull,
    UnknownArtifact,
)

INCOMING = "incoming"
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Stored(msgspec.Struct, frozen=True):
    """An artifact that is on the disk for good."""

    sha256: str
    size: int


class ArtifactStore:
    """Artifacts by digest under one directory."""

    def __init__(self, directory: Path) -> None:
        """Open the store, making it when there is none, and drop what broke off before."""
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(directory / INCOMING, ignore_errors=True)
        (directory / INCOMING).mkdir(mode=0o700)

    def path(self, sha256: str) -> Path:
        """Return where the artifact lies. Raises UnknownArtifact."""
        self.size(sha256)
        return self._place(sha256)

    def size(self, sha256: str) -> int:
        """Return the artifact's size in bytes. Raises UnknownArtifact."""
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.stat(self._place(sha256))
            if S_ISREG(status.st_mode):
                return status.st_size
        raise UnknownArtifact(sha256)

    def open(self, sha256: str) -> BinaryIO:
        """Open the artifact for reading. Raises UnknownArtifact."""
        return self.path(sha256).open("rb")

    async def add(
        self, chunks: AsyncIterable[bytes], *, limit_bytes: int, expected: str | None = None
    ) -> Stored:
        """Store what ``chunks`` bring, which is hashed while it is written.

        Raises ArtifactTooLarge, DigestMismatch or StoreFull; then, and when cancelled, nothing is
        kept.
        """
        with self.receive(limit_bytes) as upload:
            async for chunk in chunks:
                await trio.to_thread.run_sync(upload.write, chunk)
            return await trio.to_thread.run_sync(upload.commit, expected)

    def receive(self, limit_bytes: int) -> "Upload":
        """Begin to store bytes from a thread; the same errors as :meth:`add`."""
        return Upload(self, limit_bytes)

    def _place(self, sha256: str) -> Path:
        if not SHA256.fullmatch(sha256):
            raise UnknownArtifact(sha256)
        return self.directory.joinpath(sha256[:2], sha256[2:])


class Upload:
    """Bytes on their way into the store: written, then committed, else gone."""

    def __init__(self, store: ArtifactStore, limit_bytes: int) -> None:
        self._store = store
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._path = store.directory / INCOMING / os.urandom(16).hex()
        with _full_disk_named():
            self._file = open(self._path, "xb", opener=_private)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _full_disk_named():
            self._path.unlink(missing_ok=True)
            self._file.close()

    def write(self, chunk: bytes) -> None:
        """Add ``chunk``. Raises ArtifactTooLarge or StoreFull."""
        self._size += len(chunk)
        if self._size > self._limit_bytes:
            raise ArtifactTooLarge(self._limit_bytes)
        self._hash.update(chunk)
        with _full_disk_named():
            self._file.write(chunk)

    def commit(self, expected: str | None = None) -> Stored:
        """Make the artifact durable under its digest. Raises DigestMismatch or StoreFull."""
        sha256 = self._hash.hexdigest()
        if expected is not None and expected != sha256:
            raise DigestMismatch(expected, sha256)
        place = self._store._place(sha256)
        with _full_disk_named():
            self._file.flush()
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
            place.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(place)
            for directory in (place.parent, self._store.directory):
                fsync_directory(directory)
        return Stored(sha256, self._size)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


@contextmanager
def _full_disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = f"the artifact store cannot grow: {error.strerror}"
            raise StoreFull(f"{why}; make room on the daemon's disk, and try again") from error
        raise
