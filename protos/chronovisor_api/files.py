"""What is stored and fetched: inputs, results, and what a VM said.

A stream of bytes is read as fast as it is taken, so a reader that stalls holds the daemon's sender
and nothing else.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from chronovisor_api import transfers, v1
from chronovisor_api.calls import Calls
from chronovisor_api.failures import told_apart


@dataclass(frozen=True)
class Transcript:
    """What was said in one launch between the daemon and QEMU: lines of JSON."""

    launch: int
    content: bytes


def _untold(size: int) -> None:
    """Take note of nothing."""


class Files(Calls):
    """Files, large and small."""

    async def upload(
        self,
        source: Path | bytes,
        *,
        expect: v1.ArtifactExpectation | None = None,
        told: Callable[[int], None] = _untold,
    ) -> str:
        """Store a file, or bytes; return the SHA-256. Raises OSError and Damaged too.

        ``expect`` spares the reading that finds out digest and size; ``told`` is called with the
        number of bytes of each piece on its way.
        """
        expected = expect or await transfers.expectation(source)

        async def send() -> v1.UploadArtifactResponse:
            pieces = transfers.pieces(source, expected, told)
            with told_apart(self._target):
                return await self.supervisor.upload_artifact(pieces)

        return (await self._repeat(send)).sha256

    async def result(self, vm_id: str, path: Path) -> v1.Result:
        """Download a result archive to ``path``, or nothing. Raises OSError and Damaged too."""

        async def fetch() -> v1.Result:
            return await transfers.save(self.result_pieces(vm_id), path)

        return await self._repeat(fetch)

    async def result_pieces(self, vm_id: str) -> AsyncGenerator[v1.FetchResultResponse, None]:
        """Yield what a result is, then all of it; begins once. Raises Damaged at its end."""
        messages = self._stream(self.supervisor.fetch_result(v1.FetchResultRequest(vm_id)))
        async with aclosing(transfers.verified(messages)) as pieces:
            async for piece in pieces:
                yield piece

    async def console(
        self,
        vm_id: str,
        *,
        log: v1.ConsoleLog = v1.ConsoleLog.SERIAL,
        follow: bool = False,
        launch: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield what the guest wrote to its console, or its algorithm printed; begins once.

        The bytes are the guest's: neutralise control sequences before a terminal sees them.
        """
        request = v1.FetchConsoleRequest(vm_id=vm_id, log=log, follow=follow, launch=launch)
        async with aclosing(self._stream(self.supervisor.fetch_console(request))) as pieces:
            async for piece in pieces:
                yield piece.chunk

    async def transcript(self, vm_id: str, *, launch: int | None = None) -> Transcript:
        """Read what was said in a launch; ``content`` is empty where nothing of it is kept."""
        request = v1.FetchTranscriptRequest(vm_id=vm_id, launch=launch)

        async def fetch() -> Transcript:
            messages = self._stream(self.supervisor.fetch_transcript(request))
            pieces = [piece async for piece in messages]
            of = pieces[0].launch if pieces else 0
            return Transcript(of, b"".join(piece.chunk for piece in pieces))

        return await self._repeat(fetch)
