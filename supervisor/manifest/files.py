"""The local files that a draft names: read to their end, hashed, or refused with a reason.

Every file is read before anything is sent. That finds what is missing, pins what was there by its
digest, and lets the daemon refuse a file that changes on its way.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from msgspec import Struct

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 256
"""What of a file tells its kind; Linux reads no more of an interpreter line (BINPRM_BUF_SIZE)."""

Report = Callable[[int], object]
"""Called with the number of bytes that were read since the last call."""


class LocalFile(Struct, frozen=True):
    """A file as a draft names it: in which field, where, and what digest it must have, if any."""

    field: str
    path: Path
    sha256: str | None


class Upload(Struct, frozen=True):
    """A local file that was read; ``field`` is the first to name it, ``head`` how it begins."""

    field: str
    path: Path
    sha256: str
    size: int
    head: bytes


class Unfit(Exception):
    """A local file cannot be used; the message names it and says why."""


def survey(file: LocalFile, report: Report) -> Upload:
    """Read a file to its end. Raises :class:`Unfit`."""
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        with _open(file.path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                head = head or chunk[:HEAD_BYTES]
                digest.update(chunk)
                size += len(chunk)
                report(len(chunk))
    except (OSError, ValueError) as error:
        raise Unfit(f"{file.path}: {_reason(error)}") from None
    found = digest.hexdigest()
    if file.sha256 not in (None, found):
        raise Unfit(f"{file.path} has the digest {found}, not {file.sha256}")
    return Upload(file.field, file.path, found, size, head)


def read_small(path: Path, limit: int) -> bytes:
    """Return what a file holds that has at most ``limit`` bytes. Raises :class:`Unfit`."""
    try:
        with _open(path) as stream:
            content = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise Unfit(f"{path}: {_reason(error)}") from None
    if len(content) > limit:
        raise Unfit(f"{path} has more than {limit} bytes, so it is another file")
    return content


def _open(path: Path) -> FileIO:
    # Without O_NONBLOCK a named pipe in place of a file would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise Unfit(f"{path} is {kind}, takes a file")
    return FileIO(descriptor, "rb")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        missing = error.errno == errno.ENOENT
        return "no such file" if missing else (error.strerror or str(error)).lower()
    return str(error)
