"""The seam to the disk: every file operation of the log goes through `Storage` and `File`.

The rule for all of them: they raise OSError or did what they say, completely. Nothing is retried
here; after a failed write or fsync the log is opened again.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Protocol

from eventlog.errors import ForeignSegment, LogFenced, LogLocked, LogNotWritable
from eventlog.regular_file import NotRegular, open_regular

LOCK_NAME = "lock"
_PID_BYTES = 20
"""The pid in the lock file, padded with blanks; the longest has 7 digits."""


class File(Protocol):
    """One open file; writes go to a place that the caller names."""

    def pread(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of `data`."""

    def size(self) -> int:
        """The file's length in bytes."""

    def allocate(self, size: int) -> None:
        """Reserve the disk's space for `size` bytes, reading as zeros."""

    def truncate(self, size: int) -> None:
        """Cut the file."""

    def fdatasync(self) -> None:
        """Make the bytes, and what is needed to read them, durable."""

    def fsync(self) -> None:
        """Make bytes and metadata durable."""

    def make_read_only(self) -> None:
        """Mode 0444."""

    def close(self) -> None:
        """Give the descriptor back."""


class Lock(Protocol):
    """The claim to be the only writer."""

    def verify(self) -> None:
        """Raise LogFenced where the claim was lost."""

    def release(self) -> None:
        """Give the claim up."""


class Storage(Protocol):
    """One directory, flat: names hold no slash."""

    def prepare(self) -> None:
        """Make the directory if it is absent. Raises LogNotWritable."""

    def lock(self) -> Lock:
        """Claim the directory. Raises LogLocked, or LogNotWritable where it is another user's."""

    def names(self) -> list[str]:
        """Every entry, sorted."""

    def open(self, name: str) -> File:
        """An existing file, for reading. Raises FileNotFoundError, or ForeignSegment."""

    def modify(self, name: str) -> File:
        """An existing file, for reading and writing. Raises FileNotFoundError."""

    def create(self, name: str) -> File:
        """A new file, mode 0600. Raises FileExistsError."""

    def rename(self, old: str, new: str) -> None:
        """Move a file, replacing what has that name."""

    def unlink(self, name: str) -> None:
        """Remove a name."""

    def fsync_dir(self) -> None:
        """Make creations, renames and removals durable."""


class DiskFile:
    """A real file."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    def pread(self, length: int, offset: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        while 0 < len(data) < length:
            more = os.pread(self._fd, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def pwrite(self, data: bytes, offset: int) -> None:
        written = os.pwrite(self._fd, data, offset)
        if written != len(data):
            raise OSError(errno.EIO, f"only {written} of {len(data)} bytes were written")

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def allocate(self, size: int) -> None:
        os.posix_fallocate(self._fd, 0, size)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def fdatasync(self) -> None:
        os.fdatasync(self._fd)

    def fsync(self) -> None:
        os.fsync(self._fd)

    def make_read_only(self) -> None:
        os.fchmod(self._fd, 0o444)

    def close(self) -> None:
        os.close(self._fd)


class DiskLock:
    """A flock on a file that names its holder. The kernel frees it when the holder dies."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        self._directory = directory
        self._path = directory / LOCK_NAME
        self._fd = descriptor

    def verify(self) -> None:
        # Another writer takes what now has the name, whatever became of this file.
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            raise LogFenced(self._directory) from None
        if not os.path.samestat(found, os.fstat(self._fd)):
            raise LogFenced(self._directory)

    def release(self) -> None:
        os.close(self._fd)


class DiskStorage:
    """A directory of a real filesystem."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        with contextlib.suppress(FileExistsError):
            self._directory.mkdir(mode=0o700, parents=True)
            fsync_directory(self._directory.parent)
        self._check_owner()

    def _check_owner(self) -> None:
        # Root could write here, and leave files that the log's own user cannot open again.
        owner = self._directory.stat().st_uid
        if owner != os.geteuid():
            raise LogNotWritable(self._directory, f"it belongs to user {owner}")

    def lock(self) -> DiskLock:
        self._check_owner()
        fd = self._descriptor(LOCK_NAME, os.O_RDWR | os.O_CREAT)
        try:
            self._claim(fd)
        except BaseException:
            os.close(fd)
            raise
        return DiskLock(self._directory, fd)

    def _claim(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LogLocked(self._directory, _pid(os.pread(fd, _PID_BYTES, 0))) from error
        # In place and of one length: a full disk must not keep a writer from starting.
        os.pwrite(fd, f"{os.getpid():<{_PID_BYTES - 1}}\n".encode(), 0)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._directory))

    def open(self, name: str) -> DiskFile:
        return self._open(name, os.O_RDONLY)

    def modify(self, name: str) -> DiskFile:
        return self._open(name, os.O_RDWR)

    def create(self, name: str) -> DiskFile:
        return self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._directory / old, self._directory / new)

    def unlink(self, name: str) -> None:
        os.unlink(self._directory / name)

    def fsync_dir(self) -> None:
        fsync_directory(self._directory)

    def _open(self, name: str, flags: int) -> DiskFile:
        return DiskFile(self._descriptor(name, flags))

    def _descriptor(self, name: str, flags: int) -> int:
        try:
            return open_regular(self._directory / name, flags)
        except NotRegular:
            raise ForeignSegment(name, "it is not a regular file") from None


def fsync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk, as fsync(2) asks for. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pid(content: bytes) -> int | None:
    text = content.decode(errors="replace").strip()
    return int(text) if text.isdecimal() else None
