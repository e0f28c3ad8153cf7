"""A file over FUSE for a loop device, that notes every write and every flush, in order.

    python -m chronovisor_crash.recording_disk MOUNTPOINT IMAGE TRACE

A record of the trace is offset u64 and length u32, little-endian, then the data; a flush has length
0. It is in the trace before the kernel hears that the request is done.
"""

import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

DISK = "disk"
_RECORD = struct.Struct("<QI")
RECORD_SIZE = _RECORD.size
"""A flush's length in the trace."""


class Request(msgspec.Struct, frozen=True):
    """A write, or a flush where it has no data; `end` is the trace's length behind it."""

    offset: int
    data: bytes
    end: int


def read_trace(trace: bytes) -> Iterator[Request]:
    """The requests in their order; a last one that was not noted whole is left out."""
    at = 0
    while at + _RECORD.size <= len(trace):
        offset, length = _RECORD.unpack_from(trace, at)
        start, at = at + _RECORD.size, at + _RECORD.size + length
        if at <= len(trace):
            yield Request(offset, trace[start:at], at)


class _Recorder:
    """The operations of a filesystem with one file."""

    use_ns = True

    def __init__(self, image: Path, trace: Path) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._image).st_size

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path == f"/{DISK}":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": self._size}
        raise FileNotFoundError(errno.ENOENT, path)

    def open(self, path: str, flags: int) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(self._image, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        os.pwrite(self._image, data, offset)
        os.write(self._trace, _RECORD.pack(offset, len(data)) + data)
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.write(self._trace, _RECORD.pack(0, 0))
        return 0


def main() -> None:
    """Serve until unmounted."""
    import mfusepy

    mountpoint, image, trace = sys.argv[1:]

    class Operations(_Recorder, mfusepy.Operations):  # type: ignore[misc]
        """Those that the library shall call."""

    mfusepy.FUSE(Operations(Path(image), Path(trace)), mountpoint, foreground=True, nothreads=True)


if __name__ == "__main__":
    main()
