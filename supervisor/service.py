"""What the APIs may ask of the daemon, without knowing how it is built."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from eventlog import CaughtUp, EventLog, LogEnded
from supervisor.admission.intake import Admission
from supervisor.admission.uploads import Uploads
from supervisor.artifacts.errors import (
    ArtifactError,
    ArtifactTooLarge,
    DigestMismatch,
    StoreFull,
)
from supervisor.artifacts.store import ArtifactStore, Stored
from supervisor.caller import Caller
from supervisor.checkpoints import Checkpoints
from supervisor.consoles import chosen_launch
from supervisor.host.flight_recorder import transcript
from supervisor.host.logs import console_path, guest_log_path
from supervisor.host.platform import Platform, Unavailable
from supervisor.journal import decode, vm_stream
from supervisor.registry import Registry
from supervisor.schema import AnyEvent
from supervisor.vm.attestation_events import ReportReceived, ReportRefused
from supervisor.vm.commands import (
    Command,
    CommandDenied,
    Delete,
    DenyReason,
    ProvideInput,
    ProvideSession,
    RequestReport,
)
from supervisor.vm.confidential import GuestSession
from supervisor.vm.consumers import check_consumer
from supervisor.vm.events import RemovalFailed, VmDeleted
from supervisor.vm.inputs import InputName
from supervisor.vm.providing import check_named
from supervisor.vm.spec import GIB, Manifest
from supervisor.vm.state import Result, VmState

UPLOAD_MAX_BYTES = 16 * GIB
"""One artifact; larger data sets belong on a disk of their own."""

REPORT_SECONDS = 30
"""A secure processor answers within milliseconds, a guest's agent when its CPUs get their turn."""

DELETE_SECONDS = 2
"""Files are gone within milliseconds. Who waits longer finds the VM still there, and learns why."""

ARTIFACT_DENIALS: dict[type[ArtifactError], DenyReason] = {
    ArtifactTooLarge: DenyReason.ARTIFACT_TOO_LARGE,
    DigestMismatch: DenyReason.ARTIFACT_MISMATCH,
    StoreFull: DenyReason.DISK_FULL,
}


Answer = TypeVar("Answer")


class Submitted(msgspec.Struct, frozen=True):
    """The VM of a submission, and whether an earlier submission had made it."""

    state: VmState
    reused: bool


class Transcript(msgspec.Struct, frozen=True):
    """What the flight recorder kept of a launch, as lines of JSON."""

    launch: int
    content: bytes


class Report(msgspec.Struct, frozen=True):
    """What came of asking a launch for a report: the report, or else why there is none."""

    launch: int
    report: bytes = b""
    refused: str = ""


class Service:
    """One method a request; every refusal is a CommandDenied."""

    def __init__(
        self,
        log: EventLog,
        checkpoints: Checkpoints,
        registry: Registry,
        admission: Admission,
        artifacts: ArtifactStore,
        vms: Path,
        queue_position: Callable[[str], int | None],
        platform: Callable[[], Awaitable[Platform | Unavailable]],
    ) -> None:
        self.log = log
        self.checkpoints = checkpoints
        self._registry = registry
        self._admission = admission
        self._artifacts = artifacts
        self._uploads = Uploads(artifacts, log)
        self._vms = vms
        self.queue_position = queue_position
        self._read_platform = platform
        self._probing = trio.Lock()

    async def submit(
        self, manifest: Manifest, *, key: str, vm_id: str | None, caller: Caller
    ) -> Submitted:
        """Take a computation, once per idempotency key."""
        taken = await self._admission.submit(manifest, key=key, vm_id=vm_id, caller=caller)
        try:
            return Submitted(self._registry.get(taken.vm_id), taken.reused)
        except CommandDenied as denied:
            if not taken.reused or denied.reason is not DenyReason.VM_UNKNOWN:
                raise
            detail = f"this request was taken before, and its VM {taken.vm_id!r} was deleted"
            advice = "submit with a new key to run it again"
            raise CommandDenied(DenyReason.VM_DELETED, f"{detail}; {advice}") from None

    def get(self, vm_id: str) -> VmState:
        """Return one VM."""
        return self._registry.get(vm_id)

    def list(self) -> Iterable[VmState]:
        """Return the VMs in the order of their ids, deleted ones left out."""
        return self._registry.states()

    async def command(self, vm_id: str, command: Command, caller: Caller) -> VmState:
        """Obey a command; return the VM's state once it is durable.

        A VM that is deleted is gone by then, unless something holds its files.
        """
        head = self.log.head
        ordered = await self._registry.ask(vm_id, command, caller)
        if isinstance(command, Delete):
            with trio.move_on_after(DELETE_SECONDS), suppress(LogEnded):
                await self._answer(vm_id, head, _removal)
        return ordered

    async def platform(self) -> Platform | Unavailable:
        """Ask the host for its secure processor; one QEMU at a time is started for that."""
        async with self._probing:
            return await self._read_platform()

    async def provide_session(self, vm_id: str, session: GuestSession, caller: Caller) -> VmState:
        """Keep an owner's session for a VM's next launch; no session is taken twice.

        The one that the VM holds, or that its launch that lives has, is taken again: a client whose
        answer was lost may repeat itself.
        """
        state = self._registry.get(vm_id)
        if state.session == session or (state.has_process and state.current.session == session):
            return state
        with self._admission.sessions.claimed(session, "session"):
            return await self._registry.ask(vm_id, ProvideSession(session), caller)

    async def report(self, vm_id: str, nonce: bytes, caller: Caller) -> Report:
        """Have the secure processor report on a guest that runs."""
        head = self.log.head
        await self._registry.ask(vm_id, RequestReport(nonce), caller)
        with trio.move_on_after(REPORT_SECONDS):
            return await self._answer(vm_id, head, partial(_report, nonce.hex()))
        detail = f"no report of VM {vm_id!r} came within {REPORT_SECONDS} s; try again"
        raise CommandDenied(DenyReason.PLATFORM_UNAVAILABLE, detail)

    async def _answer(
        self, vm_id: str, after: int, wanted: Callable[[AnyEvent], Answer | None]
    ) -> Answer:
        """Return what ``wanted`` first makes of an event of this VM. Raises LogEnded."""
        stream = vm_stream(vm_id)
        async for item in self.log.subscribe(after):
            if isinstance(item, CaughtUp) or item.stream != stream:
                continue
            if (found := wanted(decode(item))) is not None:
                return found
        raise AssertionError("a subscription has no end")

    async def upload(
        self, chunks: AsyncIterator[bytes], *, sha256: str | None, caller: Caller
    ) -> Stored:
        """Store an artifact; the first upload of its bytes is an event."""
        try:
            stored = await self._artifacts.add(
                chunks, limit_bytes=UPLOAD_MAX_BYTES, expected=sha256
            )
        except ArtifactError as error:
            raise CommandDenied(ARTIFACT_DENIALS[type(error)], str(error)) from error
        await self._uploads.record(stored, caller)
        return stored

    async def provide_input(
        self, vm_id: str, name: InputName, sha256: str, caller: Caller
    ) -> VmState:
        """Bring an input that a VM awaits, and that is stored, from its provider."""
        check_named(self._registry.get(vm_id), name)
        size = self._uploads.size("sha256", sha256, caller)
        command = ProvideInput(name.provider, name.id, sha256, size)
        return await self._registry.ask(vm_id, command, caller)

    def open_result(self, vm_id: str, caller: Caller) -> tuple[Path, Result]:
        """Return where a VM's result archive lies, and what it is."""
        state = self._registry.get(vm_id)
        check_consumer(state, caller.principal)
        if state.result is None:
            detail = f"VM {vm_id!r} is in phase {state.phase.value} and has no result"
            raise CommandDenied(DenyReason.NO_RESULT, detail)
        return self._artifacts.path(state.result.sha256), state.result

    def console(self, vm_id: str, launch: int | None = None) -> Path:
        """Return where the console log of a launch, or of the current one, lies, if it exists."""
        return console_path(self._vms / vm_id, self._launch(vm_id, launch))

    def guest_log(self, vm_id: str, launch: int | None = None) -> Path:
        """Return where the lines that the algorithm printed lie, if they exist."""
        return guest_log_path(self._vms / vm_id, self._launch(vm_id, launch))

    def _launch(self, vm_id: str, launch: int | None) -> int:
        return chosen_launch(self._registry.get(vm_id), launch)

    async def transcript(self, vm_id: str, launch: int | None) -> Transcript:
        """Return what was said to QEMU and by it in a launch, the current one by default."""
        wanted = self._launch(vm_id, launch)
        read = partial(transcript, self._vms / vm_id, wanted)
        return Transcript(wanted, await trio.to_thread.run_sync(read))


def _report(nonce: str, event: AnyEvent) -> Report | None:
    match event:
        case ReportReceived(launch, received, report) if received == nonce:
            return Report(launch, base64.b64decode(report))
        case ReportRefused(launch, refused, detail) if refused == nonce:
            return Report(launch, refused=detail)
    return None


def _removal(event: AnyEvent) -> VmDeleted | RemovalFailed | None:
    return event if isinstance(event, VmDeleted | RemovalFailed) else None
