"""The daemon as an asyncio program sees it: calls and watches that outlive its restarts.

Every method is safe to repeat and is repeated while the daemon is away: submissions carry an
idempotency key, uploads a digest, watches the position that was seen last.

See docs/python-client.md.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from chronovisor_api import transfers, v1
from chronovisor_api.channel import connect
from chronovisor_api.failures import Patience, Unreachable, told_apart

ANSWER_SECONDS = 30.0
"""The deadline of a call that reads or changes one thing. The daemon answers within milliseconds;
an fsync on a disk that drowns in work takes seconds."""

PATIENCE_SECONDS = 60.0
"""How long a daemon that does not answer is waited for: a restart with a long log takes seconds."""

OVER = frozenset({v1.Phase.STOPPED, v1.Phase.FAILED, v1.Phase.DELETED})
END_TYPES = ("vm.stopped.v1", "vm.failed.v1", "vm.deleted.v1")

T = TypeVar("T")


class Client:
    """A connection to the daemon at ``target``: ``unix:PATH`` or ``HOST:PORT`` with a token.

    ``async with`` opens and closes it. Every method raises Refused if the daemon says no, and
    Unreachable if it did not answer for ``patience_s`` seconds. ``supervisor`` has all other calls
    as they are on the wire.
    """

    def __init__(
        self, target: str, token: str | None = None, *, patience_s: float = PATIENCE_SECONDS
    ) -> None:
        self._target = target
        self._token = token
        self._patience_s = patience_s

    async def __aenter__(self) -> Self:
        """Make ready to connect, which the first call does. Raises MalformedTarget."""
        self._channel = connect(self._target, self._token)
        self.supervisor = v1.SupervisorStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._channel.close()
        await asyncio.sleep(0)  # a transport closes in the next turn of its loop

    async def upload(self, source: Path) -> str:
        """Store a file; return its SHA-256. Raises OSError and Damaged too."""
        expect = await transfers.expectation(source)

        async def send() -> v1.UploadArtifactResponse:
            with told_apart(self._target):
                return await self.supervisor.upload_artifact(transfers.pieces(source, expect))

        return (await self._repeat(send)).sha256

    async def submit(
        self, manifest: v1.Manifest, *, idempotency_key: str | None = None, vm_id: str | None = None
    ) -> v1.Vm:
        """Have a computation accepted; return its VM.

        The same key gives the same VM again, also to another process; without one, each call of
        this method is a submission of its own.
        """
        key = idempotency_key or secrets.token_hex(16)
        request = v1.SubmitComputationRequest(manifest, key, vm_id)
        answer = await self._answer(self.supervisor.submit_computation, request)
        return answer.vm or v1.Vm()

    async def get(self, vm_id: str) -> v1.Vm:
        """Read one VM."""
        return await self._answer(self.supervisor.get_vm, v1.GetVmRequest(vm_id))

    async def list(
        self, *, labels: Mapping[str, str] | None = None, phases: Collection[v1.Phase] = ()
    ) -> AsyncGenerator[v1.Vm, None]:
        """Yield the VMs with all these labels, in one of these phases, by their ids."""
        request = v1.ListVmsRequest(labels=dict(labels or {}), phases=[*phases])
        while True:
            page = await self._answer(self.supervisor.list_vms, request)
            for vm in page.vms:
                yield vm
            if not page.next_page_token:
                return
            request = replace(request, page_token=page.next_page_token)

    async def watch(
        self,
        *,
        after: int = 0,
        log_id: str | None = None,
        vm_id: str | None = None,
        types: Collection[str] = (),
    ) -> AsyncGenerator[v1.Event, None]:
        """Yield every event after a position once and in order: those in the log, then new ones.

        It goes on where it was when the daemon comes back. To go on in another process, keep the
        position and the log's id of the last event: with both, another log in the same place is
        refused instead of being mistaken for this one.
        """
        request = v1.WatchEventsRequest(after, log_id, vm_id, [*types])
        patience = Patience(self._patience_s)
        while True:
            try:
                async for message in self._stream(self.supervisor.watch_events(request)):
                    patience.renew()
                    seen = message.event or message.caught_up
                    if seen is not None:
                        request = replace(request, after=seen.position, log_id=seen.log_id)
                    if message.event is not None:
                        yield message.event
                raise Unreachable(f"{self._target}: the watch ended")
            except Unreachable as away:
                await patience.wait(away)

    async def wait(self, vm_id: str) -> v1.Vm:
        """Return a VM once it has ended and is not started again."""
        vm = await self.get(vm_id)
        async with aclosing(self.watch(vm_id=vm_id, types=END_TYPES)) as ends:
            while vm.phase not in OVER:
                await anext(ends)
                vm = await self.get(vm_id)
        return vm

    async def result(self, vm_id: str, path: Path) -> v1.Result:
        """Download a result archive to ``path``, or nothing. Raises OSError and Damaged too."""

        async def fetch() -> v1.Result:
            messages = self.supervisor.fetch_result(v1.FetchResultRequest(vm_id))
            return await transfers.save(self._stream(messages), path)

        return await self._repeat(fetch)

    async def _answer(self, method: Callable[..., Awaitable[T]], request: object) -> T:
        async def call() -> T:
            with told_apart(self._target):
                return await method(request, timeout=ANSWER_SECONDS)

        return await self._repeat(call)

    async def _repeat(self, call: Callable[[], Awaitable[T]]) -> T:
        patience = Patience(self._patience_s)
        while True:
            try:
                return await call()
            except Unreachable as away:
                await patience.wait(away)

    async def _stream(self, messages: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """Yield the messages; what goes wrong with the one who takes them is not told apart."""
        while True:
            try:
                with told_apart(self._target):
                    message = await anext(messages)
            except StopAsyncIteration:
                return
            yield message
