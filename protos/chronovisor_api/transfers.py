"""Files on their way: cut into messages, and put together again only if nothing is missing."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from chronovisor_api import v1

CHUNK_BYTES = 256 * 1024
"""A message of an upload; the daemon takes at most 1 MiB."""


class Damaged(Exception):
    """What arrived is not what was announced, or what is to be sent cannot be read any more."""


async def expectation(source: Path) -> v1.ArtifactExpectation:
    """Return the digest and the size of a file. Raises OSError."""

    def read() -> v1.ArtifactExpectation:
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return v1.ArtifactExpectation(sha256=sha256, size=file.tell())

    return await asyncio.to_thread(read)


async def pieces(
    source: Path, expect: v1.ArtifactExpectation
) -> AsyncIterator[v1.UploadArtifactRequest]:
    """Yield the messages of an upload. Raises Damaged if the file cannot be read any more."""
    yield v1.UploadArtifactRequest(expect=expect)
    try:
        with await asyncio.to_thread(source.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield v1.UploadArtifactRequest(chunk=chunk)
    except OSError as error:  # which would otherwise look like the network's
        raise Damaged(f"{source}: {error.strerror or error}") from error


async def save(messages: AsyncIterable[v1.FetchResultResponse], path: Path) -> v1.Result:
    """Write a result archive to ``path``, which is replaced once all of it is there.

    Raises:
        Damaged: It is incomplete or other bytes; ``path`` is as it was.
        OSError: It cannot be written.
    """
    digest, size, result = hashlib.sha256(), 0, v1.Result()
    with _whole(path) as file:
        async for message in messages:
            result = message.result or result
            digest.update(message.chunk)
            size += len(message.chunk)
            await asyncio.to_thread(file.write, message.chunk)
        if (digest.hexdigest(), size) != (result.sha256, result.size):
            raise Damaged(f"{size} bytes arrived of {result.size}, or not those announced")
    return result


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of ``path`` if the block ends well."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        written = Path(file.name)
        try:
            yield file
            file.close()
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
