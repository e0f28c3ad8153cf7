"""Files on their way: cut into messages, and put together again only if nothing is missing."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from chronovisor_api import v1

CHUNK_BYTES = 256 * 1024
"""A message of an upload; the daemon takes at most 1 MiB."""


class Damaged(Exception):
    """What arrived is not what was announced."""


class Unreadable(Damaged):
    """What is to be sent cannot be read any more."""


def _open(source: Path | bytes) -> IO[bytes]:
    return BytesIO(source) if isinstance(source, bytes) else source.open("rb")


async def expectation(source: Path | bytes) -> v1.ArtifactExpectation:
    """Return the digest and the size of a file. Raises OSError."""

    def read() -> v1.ArtifactExpectation:
        with _open(source) as file:
            digest, size = hashlib.sha256(), 0
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
            return v1.ArtifactExpectation(sha256=digest.hexdigest(), size=size)

    return await asyncio.to_thread(read)


async def pieces(
    source: Path | bytes, expect: v1.ArtifactExpectation, told: Callable[[int], None]
) -> AsyncIterator[v1.UploadArtifactRequest]:
    """Yield the messages of an upload. Raises Unreadable."""
    yield v1.UploadArtifactRequest(expect=expect)
    try:
        with await asyncio.to_thread(_open, source) as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield v1.UploadArtifactRequest(chunk=chunk)
                told(len(chunk))
    except OSError as error:  # which would otherwise look like the network's
        raise Unreadable(f"{source!s}: {(error.strerror or str(error)).lower()}") from error


async def verified(
    messages: AsyncGenerator[v1.FetchResultResponse, None],
) -> AsyncGenerator[v1.FetchResultResponse, None]:
    """Yield the messages of a download. Raises Damaged at its end if they are not the result."""
    digest, size, result = hashlib.sha256(), 0, None
    async with aclosing(messages):
        async for message in messages:
            result = result or message.result
            if result is None:
                raise Damaged("the daemon did not say what the result is")
            digest.update(message.chunk)
            size += len(message.chunk)
            yield message
    if result is None or (digest.hexdigest(), size) != (result.sha256, result.size):
        promised = result.sha256 if result else "any"
        raise Damaged(
            f"what came has the digest {digest.hexdigest()}, not {promised}: fetch it again"
        )


async def save(pieces: AsyncGenerator[v1.FetchResultResponse, None], path: Path) -> v1.Result:
    """Write a verified archive to ``path``, which is replaced once all of it is there.

    Raises:
        Damaged: It is incomplete or other bytes; ``path`` is as it was.
        OSError: It cannot be written.
    """
    result = v1.Result()
    async with aclosing(pieces):
        with _whole(path) as file:
            async for piece in pieces:
                result = piece.result or result
                await asyncio.to_thread(file.write, piece.chunk)
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
