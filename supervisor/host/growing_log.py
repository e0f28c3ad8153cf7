"""Reading a log that somebody writes: what is in it, then what is added, over its generations.

A log that got shorter began a new generation (:mod:`supervisor.host.logs`) and is read from its
beginning. What the writer said between the last look and that moment is in the older generation
only, and is not read again.
"""

import os
from enum import Enum
from pathlib import Path

from supervisor.host.logs import older_generation
from supervisor.host.private_file import open_private

CHUNK_BYTES = 64 * 1024
"""Of one look: little memory for each reader, and few calls for each megabyte."""


class ReadFrom(Enum):
    """Where reading begins."""

    BEGINNING = "beginning"
    END = "end"


class GrowingLog:
    """One reader of one log. Each call blocks for a look at the disk."""

    def __init__(self, log: Path, begin: ReadFrom) -> None:
        self._log = log
        self._offset = 0
        self._older: Path | None = None
        if begin is ReadFrom.END:
            self._offset = _size(log)
        else:
            self._older = older_generation(log)

    def read(self) -> bytes:
        """Return what comes next; nothing where nothing has come. Raises OSError."""
        if self._older is not None:
            if data := self._read(self._older):
                return data
            self._older, self._offset = None, 0
        if _size(self._log) < self._offset:
            self._offset = 0
        return self._read(self._log)

    def _read(self, path: Path) -> bytes:
        try:
            descriptor = open_private(path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            data = os.pread(descriptor, CHUNK_BYTES, self._offset)
        finally:
            os.close(descriptor)
        self._offset += len(data)
        return data


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
