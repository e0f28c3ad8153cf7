"""The messages of an upload -> bytes, checked against what the client said to expect."""

from collections.abc import AsyncGenerator, AsyncIterator

from chronovisor_api import v1

from supervisor.api.refusals import denied_for, refuse
from supervisor.vm.commands import DenyReason
from supervisor.vm.field_rules import check_digest

CHUNK_BYTES = 1024 * 1024
"""What one message may carry; a message is held in memory as a whole."""


class Upload:
    """An upload whose first message has come; ``sha256`` is what it must turn out to be, if set."""

    def __init__(
        self, first: v1.UploadArtifactRequest, rest: AsyncIterator[v1.UploadArtifactRequest]
    ) -> None:
        expect = first.expect or v1.ArtifactExpectation()
        self.sha256 = expect.sha256
        self._size = expect.size
        self._first = first
        self._rest = rest

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes. Raises CommandDenied where they are not what was promised."""
        received = len(self._first.chunk)
        yield _checked(self._first.chunk)
        async for message in self._rest:
            received += len(message.chunk)
            if self._size is not None and received > self._size:
                break
            yield _checked(message.chunk)
        if self._size is not None and received != self._size:
            got = f"got {received} bytes or more in place of {self._size}"
            raise denied_for(DenyReason.ARTIFACT_MISMATCH, "expect.size", got)


async def begin(messages: AsyncIterator[v1.UploadArtifactRequest]) -> Upload:
    """Take the first message of an upload. Raises CommandDenied."""
    first = await anext(messages, None)
    if first is None:
        raise denied_for(
            DenyReason.INVALID_ARGUMENT, "chunk", "the upload ended before its first message"
        )
    upload = Upload(first, messages)
    if upload.sha256 is not None:
        refuse(tuple(check_digest("expect.sha256", upload.sha256)))
    return upload


def _checked(chunk: bytes) -> bytes:
    if len(chunk) > CHUNK_BYTES:
        raise denied_for(
            DenyReason.INVALID_ARGUMENT,
            "chunk",
            f"got {len(chunk)} bytes; it takes at most {CHUNK_BYTES}",
        )
    return chunk
