"""A small supervisor in memory over a real log: what the API's ports are tested with."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from eventlog import EventLog, NewEvent
from eventlog.notary import Notary
from eventlog.note import Signer
from supervisor.caller import Caller
from supervisor.checkpoints import Checkpoints
from supervisor.host.platform import Platform, Unavailable
from supervisor.log_key import origin
from supervisor.service import Report, Transcript
from supervisor.vm.awaiting import inputs_awaited
from supervisor.vm.commands import (
    Command,
    CommandDenied,
    DenyReason,
    ProvideInput,
    ProvideSession,
)
from supervisor.vm.confidential import GuestSession
from supervisor.vm.consumers import check_consumer
from supervisor.vm.decide import decide
from supervisor.vm.evolve import fold
from supervisor.vm.inputs import InputName
from supervisor.vm.spec import Manifest
from supervisor.vm.state import Phase, Result, VmState

DIGEST = "a" * 64
SUBMITTED_MS = 1_700_000_000_123


class Submitted(msgspec.Struct, frozen=True):
    state: VmState
    reused: bool


class Stored(msgspec.Struct, frozen=True):
    sha256: str
    size: int


class MemorySupervisor:
    """Keeps VMs in a dict, artifacts as files, and every caller that it saw."""

    def __init__(self, log: EventLog, directory: Path) -> None:
        self.log = log
        signer = Signer.generate(origin(log.log_id))
        self.checkpoints = Checkpoints(Notary(directory / "log", signer))
        self.vms: dict[str, VmState] = {}
        self.keys: dict[str, str] = {}
        self.commands: list[tuple[str, Command]] = []
        self.callers: list[Caller] = []
        self.uploads_begun = 0
        self.uploads_open = 0
        self.failure: Exception | None = None
        self.queue: list[str] = []
        self.found: Platform | Unavailable = Unavailable("there is no processor in memory")
        self.answer = Report(1, b"report")
        self.nonces: list[bytes] = []
        self._directory = directory

    async def submit(
        self, manifest: Manifest, *, key: str, vm_id: str | None, caller: Caller
    ) -> Submitted:
        self._saw(caller)
        if key in self.keys:
            return Submitted(self.vms[self.keys[key]], reused=True)
        vm_id = vm_id or f"vm-{len(self.vms)}"
        if vm_id in self.vms:
            raise CommandDenied(DenyReason.VM_EXISTS, f"there is a VM {vm_id!r} already")
        await self.log.append([self.event(f"vm/{vm_id}", "vm.submitted.v1", {"vm_id": vm_id})])
        state = VmState(
            vm_id=vm_id,
            manifest=manifest,
            digest=DIGEST,
            tenant=caller.tenant,
            principal=caller.principal,
            created_ms=SUBMITTED_MS,
            seen_ms=SUBMITTED_MS,
        )
        if awaited := inputs_awaited(manifest, (), SUBMITTED_MS):
            state = fold(state, (awaited,), SUBMITTED_MS)
        self.vms[vm_id], self.keys[key] = state, vm_id
        return Submitted(state, reused=False)

    def get(self, vm_id: str) -> VmState:
        if vm_id not in self.vms:
            raise CommandDenied(DenyReason.VM_UNKNOWN, f"there is no VM {vm_id!r:.80}")
        return self.vms[vm_id]

    def list(self) -> Iterable[VmState]:
        return [self.vms[vm_id] for vm_id in sorted(self.vms)]

    def queue_position(self, vm_id: str) -> int | None:
        return self.queue.index(vm_id) + 1 if vm_id in self.queue else None

    async def command(self, vm_id: str, command: Command, caller: Caller) -> VmState:
        self._saw(caller)
        state = self.get(vm_id)
        self.commands.append((vm_id, command))
        return state

    async def platform(self) -> Platform | Unavailable:
        return self.found

    async def provide_session(self, vm_id: str, session: GuestSession, caller: Caller) -> VmState:
        return await self.command(vm_id, ProvideSession(session), caller)

    async def report(self, vm_id: str, nonce: bytes, caller: Caller) -> Report:
        self._saw(caller)
        self.nonces.append(nonce)
        return self.answer

    async def upload(
        self, chunks: AsyncIterator[bytes], *, sha256: str | None, caller: Caller
    ) -> Stored:
        self._saw(caller)
        self.uploads_begun += 1
        self.uploads_open += 1
        try:
            data = b"".join([chunk async for chunk in chunks])
        finally:
            self.uploads_open -= 1
        found = hashlib.sha256(data).hexdigest()
        if sha256 not in {None, found}:
            raise CommandDenied(DenyReason.ARTIFACT_MISMATCH, f"the bytes are {found}")
        (self._directory / found).write_bytes(data)
        return Stored(found, len(data))

    async def provide_input(
        self, vm_id: str, name: InputName, sha256: str, caller: Caller
    ) -> VmState:
        self._saw(caller)
        came = ProvideInput(name.provider, name.id, sha256, 1)
        events = decide(self.get(vm_id), came, SUBMITTED_MS).events
        self.vms[vm_id] = fold(self.get(vm_id), events, SUBMITTED_MS)
        return self.vms[vm_id]

    def open_result(self, vm_id: str, caller: Caller) -> tuple[Path, Result]:
        check_consumer(self.get(vm_id), caller.principal)
        result = self.get(vm_id).result
        if result is None:
            raise CommandDenied(DenyReason.NO_RESULT, f"VM {vm_id!r} has no result")
        return self._directory / result.sha256, result

    def console(self, vm_id: str, launch: int | None = None) -> Path:
        return self._directory / f"{self.get(vm_id).vm_id}.console"

    def guest_log(self, vm_id: str, launch: int | None = None) -> Path:
        return self._directory / f"{self.get(vm_id).vm_id}.guest"

    async def transcript(self, vm_id: str, launch: int | None) -> Transcript:
        wanted = launch or self.get(vm_id).launch_number
        return Transcript(wanted, self.transcript_of(vm_id).read_bytes())

    def transcript_of(self, vm_id: str) -> Path:
        """Return where the transcript of a VM lies."""
        return self._directory / f"{vm_id}.transcript"

    def stored(self) -> Sequence[Path]:
        """Return the artifacts that are there."""
        return [path for path in self._directory.iterdir() if len(path.name) == 64]

    def finish(self, vm_id: str, archive: bytes) -> None:
        """End a VM with this result."""
        digest = hashlib.sha256(archive).hexdigest()
        (self._directory / digest).write_bytes(archive)
        state = msgspec.structs.replace(
            self.vms[vm_id], phase=Phase.STOPPED, result=Result(digest, len(archive))
        )
        self.vms[vm_id] = state

    async def say(self, count: int, *, stream: str = "vm/a", size: int = 10) -> None:
        """Append events, each with a payload of about ``size`` bytes."""
        for _ in range(count):
            await self.log.append([self.event(stream, "vm.said.v1", {"text": "x" * size})])

    def event(self, stream: str, tag: str, facts: Mapping[str, object]) -> NewEvent:
        """Return an event with every field of the envelope set."""
        return NewEvent(
            stream=stream,
            type=tag,
            payload=msgspec.msgpack.encode(facts),
            event_id=f"event-{self.log.head + 1}",
            causation_id="cause",
            correlation_id="correlation",
            traceparent=f"00-{'1' * 32}-{'2' * 16}-01",
            tenant="default",
            principal="uid:0",
        )

    def _saw(self, caller: Caller) -> None:
        self.callers.append(caller)
        if self.failure is not None:
            raise self.failure
