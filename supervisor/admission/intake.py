"""The one place where a computation is taken or refused.

Submitting is one append: the idempotency key, the request's digest and the VM's first event are
durable together, so there is no half-accepted computation. Whatever runs between two awaits runs
alone; what is on its way to the disk is reserved, so that two equal keys never make two VMs while
many submissions share one fsync.
"""

import base64
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

import msgspec
import trio

from eventlog import EventLog, Record, Spare
from supervisor.admission.digest import manifest_digest, request_digest
from supervisor.admission.events import ComputationAdmitted
from supervisor.admission.quotas import Quotas
from supervisor.admission.sessions import Sessions, session_of
from supervisor.admission.state import AdmissionState, Admitted
from supervisor.caller import Caller
from supervisor.cause import cause_of
from supervisor.journal import HOST_STREAM, encode, vm_stream
from supervisor.vm.awaiting import inputs_awaited
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.events import ComputationSubmitted
from supervisor.vm.rules import check, check_idempotency_key, check_vm_id
from supervisor.vm.spec import Manifest

IN_FLIGHT_MAX = 1024
"""Submissions between decision and fsync, with manifests of at most 48 KiB each; a thousand clients
may come at once, and more would only wait for the same disk."""


class Intake(Enum):
    """Whether new work is taken."""

    OPEN = "open"
    CLOSED = "closed"
    UNREADABLE = "unreadable"
    """The log holds an event about submissions that this version does not know."""


class Taken(msgspec.Struct, frozen=True):
    """The VM that stands for a submission, and whether an earlier one had made it."""

    vm_id: str
    reused: bool


class Admission:
    """Takes submissions; ``start`` is called with the first records of each new VM's stream."""

    def __init__(
        self,
        state: AdmissionState,
        log: EventLog,
        check_inputs: Callable[[Manifest, Caller], None],
        start: Callable[[Sequence[Record]], None],
        quotas: Quotas,
        clock_ms: Callable[[], int],
    ) -> None:
        self.intake = Intake.OPEN
        self._state = state
        self._log = log
        self._check_inputs = check_inputs
        self._start = start
        self._quotas = quotas
        self._clock_ms = clock_ms
        self.sessions = Sessions(state)
        self._in_flight: dict[tuple[str, str], trio.Event] = {}
        self._ids_in_flight: set[str] = set()

    def has_taken(self, vm_id: str) -> bool:
        """Whether there is, or was, a VM of this id."""
        return self._is_taken(vm_id)

    async def submit(
        self, manifest: Manifest, *, key: str, vm_id: str | None, caller: Caller
    ) -> Taken:
        """Take a computation, once per idempotency key. Raises CommandDenied."""
        _check_words(manifest, key, vm_id)
        digest = request_digest(manifest, vm_id)
        if earlier := await self._earlier(caller.tenant, key):
            return _repeated(earlier, digest, key)
        self._check_room(vm_id)
        self._quotas.check(caller)
        self._check_inputs(manifest, caller)
        chosen = vm_id or _random_id()
        session = self.sessions.claimed(session_of(manifest), "confidential.session")
        with session, self._reserved(caller.tenant, key, chosen), self._quotas.counting(caller):
            admitted = ComputationAdmitted(chosen, key, digest)
            records = await self._append(admitted, manifest, caller)
            self._state.evolve(admitted, caller.tenant)
            self._start(records[1:])
        return Taken(chosen, reused=False)

    async def _earlier(self, tenant: str, key: str) -> Admitted | None:
        while (waiting := self._in_flight.get((tenant, key))) is not None:
            await waiting.wait()
        return self._state.find(tenant, key)

    @contextmanager
    def _reserved(self, tenant: str, key: str, vm_id: str) -> Iterator[None]:
        settled = self._in_flight[tenant, key] = trio.Event()
        self._ids_in_flight.add(vm_id)
        try:
            yield
        finally:
            del self._in_flight[tenant, key]
            self._ids_in_flight.remove(vm_id)
            settled.set()

    async def _append(
        self, admitted: ComputationAdmitted, manifest: Manifest, caller: Caller
    ) -> tuple[Record, ...]:
        cause = cause_of(caller)
        stream = vm_stream(admitted.vm_id)
        submitted = ComputationSubmitted(manifest, manifest_digest(manifest))
        events = [
            encode(admitted, HOST_STREAM, caller.tenant, cause),
            encode(submitted, stream, caller.tenant, cause),
        ]
        if awaited := inputs_awaited(manifest, (), self._clock_ms()):
            events.append(encode(awaited, stream, caller.tenant, cause))
        return await self._log.append(events, expected={stream: 0})

    def _is_taken(self, vm_id: str) -> bool:
        return vm_id in self._ids_in_flight or self._state.has_taken(vm_id)

    def _check_room(self, vm_id: str | None) -> None:
        if self.intake is Intake.CLOSED:
            raise CommandDenied(DenyReason.SHUTTING_DOWN, "the daemon is shutting down; try later")
        if self.intake is Intake.UNREADABLE:
            detail = "the log holds submissions of a newer version; start that one to submit more"
            raise CommandDenied(DenyReason.EVENT_UNKNOWN, detail)
        if vm_id is not None and self._is_taken(vm_id):
            raise CommandDenied(DenyReason.VM_EXISTS, f"there is a VM {vm_id!r}; choose another id")
        if self._log.spare is Spare.MISSING:
            # What room is left is for the events of the VMs there are: their stops, their exits.
            detail = "the disk of the event log is full; free some space and try again"
            raise CommandDenied(DenyReason.DISK_FULL, detail)
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            detail = f"{IN_FLIGHT_MAX} submissions are waiting for the disk; try again"
            raise CommandDenied(DenyReason.MAILBOX_FULL, detail)


def _check_words(manifest: Manifest, key: str, vm_id: str | None) -> None:
    """Refuse what is wrong whatever else was admitted; only a sound manifest has a digest."""
    named = check_idempotency_key(key) + (() if vm_id is None else check_vm_id(vm_id))
    _refuse(DenyReason.INVALID_ARGUMENT, named)
    _refuse(DenyReason.INVALID_MANIFEST, check(manifest))


def _refuse(reason: DenyReason, violations: tuple[FieldViolation, ...]) -> None:
    if violations:
        detail = "; ".join(f"{each.field}: {each.description}" for each in violations)
        raise CommandDenied(reason, detail, violations)


def _repeated(earlier: Admitted, digest: str, key: str) -> Taken:
    if earlier.request_digest != digest:
        detail = f"idempotency key {key!r} was used for another request; choose a new key"
        raise CommandDenied(DenyReason.IDEMPOTENCY_KEY_REUSED, detail)
    return Taken(earlier.vm_id, reused=True)


def _random_id() -> str:
    """Return 80 random bits in 16 letters and digits that are easy to read aloud."""
    return base64.b32encode(os.urandom(10)).decode().lower()
