"""Files of a VM as streams of bytes; whatever blocks runs in a thread."""

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from supervisor.vm.commands import CommandDenied, DenyReason

CHUNK_BYTES = 64 * 1024
"""What one message carries: far below every client's default limit of 4 MiB."""
POLL_SECONDS = 0.2
"""How late a follower may see what a guest wrote; a person at a console does not notice."""


class FileCut(Exception):
    """A file is shorter than the log says."""


@contextmanager
def deny_unreadable(what: str) -> Iterator[None]:
    """Turn what keeps us from reading ``what`` into an answer. Raises CommandDenied for OSError."""
    try:
        yield
    except OSError as error:
        detail = f"{what} cannot be read: {error.strerror or error}"
        raise CommandDenied(DenyReason.FILE_UNREADABLE, detail) from error


async def read_exactly(path: Path, size: int) -> AsyncGenerator[bytes, None]:
    """Yield the first ``size`` bytes of a file. Raises OSError, or FileCut if there are fewer."""
    offset = 0
    while offset < size:
        chunk = await trio.to_thread.run_sync(_read, path, offset, min(CHUNK_BYTES, size - offset))
        if not chunk:
            raise FileCut(f"{path} ends after {offset} of {size} bytes")
        yield chunk
        offset += len(chunk)


async def read_growing(
    locate: Callable[[], Path], is_final: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """Yield what is in a file, then what is added to it, until ``is_final`` says so.

    ``locate`` is asked again before each look: another launch writes another file. A file that got
    shorter was rotated, and is read from its beginning. Of a VM that is deleted nothing more comes.
    Raises CommandDenied where there is nothing to be read from the beginning.
    """
    path, offset = locate(), 0
    while True:
        try:
            # Asked before reading, so that the last words are not missed.
            final, now = is_final(), locate()
        except CommandDenied:
            return
        if now != path:
            path, offset = now, 0
        size = await trio.to_thread.run_sync(_size, path)
        if size < offset:
            offset = 0
        while offset < size:
            wanted = min(CHUNK_BYTES, size - offset)
            chunk = await trio.to_thread.run_sync(_read, path, offset, wanted)
            if not chunk:
                break
            yield chunk
            offset += len(chunk)
        if final:
            return
        await trio.sleep(POLL_SECONDS)


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        # A pipe in a log's place would keep us waiting; for files O_NONBLOCK says nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
