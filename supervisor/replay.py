"""Everything the log says, folded: from its beginning, from a base, or from an earlier fold.

What cannot be understood stops only what needs it. A VM with such an event in its stream becomes
unavailable, with the reason; such an event in the ``host`` stream closes the intake.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

import msgspec

from eventlog import EventLog, Record
from eventlog.archive import BaseReader
from supervisor.admission import events as admission
from supervisor.admission.state import AdmissionState, PackedAdmission
from supervisor.cannot_serve import CannotServe
from supervisor.clock import Clock
from supervisor.journal import HOST_STREAM, VM_PREFIX, recorded_ms, vm_stream
from supervisor.schema import SCHEMA, TAGS, AnyEvent, Schema, UnknownEventError
from supervisor.vm import events as vm
from supervisor.vm.attestation_events import SessionProvided
from supervisor.vm.confidential import GuestSession, Sev
from supervisor.vm.evolve import define, evolve
from supervisor.vm.state import VmState

logger = logging.getLogger(__name__)

CLOCK_BEHIND_S = 1.0
"""Clocks are stepped by less when they are set right while the daemon is down."""

WORLD_FORMAT = "chronovisor.world.v1"
"""Names the encoding of a whole state. Bases hold it, so a changed one gets a new name."""

_DELETED = TAGS[vm.VmDeleted]
_WITH_SESSIONS = frozenset(TAGS[kind] for kind in (vm.ComputationSubmitted, SessionProvided))


class ReplayError(CannotServe):
    """A log, or a state that was kept, from which the present state cannot be had."""


class Unreadable(msgspec.Struct, frozen=True):
    """The event from which on something cannot be folded, and why."""

    position: int
    type: str
    why: str


class _World(msgspec.Struct, frozen=True):
    """The form in which a whole state is kept; ``vms`` in the order of their ids."""

    format: str
    vms: tuple[VmState, ...]
    admission: PackedAdmission
    unavailable: dict[str, Unreadable]
    host: Unreadable | None


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(_World).decode


class World:
    """The state of all VMs that were not deleted, and of the admission.

    A deleted VM leaves its key and its id with the admission, and nothing else.
    """

    def __init__(self, schema: Schema = SCHEMA) -> None:
        self.admission = AdmissionState()
        self.unavailable: dict[str, Unreadable] = {}
        self.host: Unreadable | None = None
        self._vms: dict[str, VmState] = {}
        self._schema = schema

    @property
    def vms(self) -> Mapping[str, VmState]:
        """The VMs by their ids."""
        return MappingProxyType(self._vms)

    def take(self, record: Record) -> None:
        """Take one more event into account."""
        if record.stream.startswith(VM_PREFIX):
            self._take_vm(record)
        elif record.stream == HOST_STREAM and self.host is None:
            self._take_host(record)

    def encoded(self) -> bytes:
        """Return the whole state in bytes; equal states have equal bytes."""
        kept = _World(
            format=WORLD_FORMAT,
            vms=tuple(state for _, state in sorted(self._vms.items())),
            admission=self.admission.packed(),
            unavailable=self.unavailable,
            host=self.host,
        )
        # Only keys that are plain strings can be sorted.
        return _encode(msgspec.to_builtins(kept, builtin_types=(bytes,)))

    def digest(self) -> str:
        """Return the state hash: SHA-256 over :meth:`encoded`, in hexadecimal."""
        return hashlib.sha256(self.encoded()).hexdigest()

    @classmethod
    def decoded(cls, data: bytes) -> "World":
        """Return the state that :meth:`encoded` gave. Raises ReplayError for another format."""
        try:
            kept = _decode(data)
        except msgspec.DecodeError as error:
            raise ReplayError(f"a folded state cannot be read: {error}") from error
        if kept.format != WORLD_FORMAT:
            raise ReplayError(f"a folded state has the form {kept.format!r}, not {WORLD_FORMAT!r}")
        world = cls()
        world.admission = AdmissionState(kept.admission)
        world.unavailable = kept.unavailable
        world.host = kept.host
        world._vms = {state.vm_id: state for state in kept.vms}
        return world

    def _take_host(self, record: Record) -> None:
        try:
            event = self._schema.decode(record)
        except UnknownEventError as error:
            self.host = Unreadable(record.position, record.type, str(error))
            return
        assert isinstance(event, admission.Event)
        self.admission.evolve(event, record.tenant)

    def _take_session(self, record: Record) -> None:
        # Of VMs that are unavailable, too: it is in the log, so it was given.
        with suppress(UnknownEventError):
            session = _session_in(self._schema.decode(record))
            if session is not None:
                self.admission.see(session)

    def _take_vm(self, record: Record) -> None:
        if record.type in _WITH_SESSIONS:
            self._take_session(record)
        vm_id = record.stream.removeprefix(VM_PREFIX)
        if record.type == _DELETED:
            self._vms.pop(vm_id, None)
            self.unavailable.pop(vm_id, None)
        elif vm_id not in self.unavailable:
            try:
                self._vms[vm_id] = evolved(self._vms.get(vm_id), record, self._schema)
            except UnknownEventError as error:
                self._vms.pop(vm_id, None)
                self.unavailable[vm_id] = Unreadable(record.position, record.type, str(error))


def _session_in(event: AnyEvent) -> GuestSession | None:
    match event:
        case SessionProvided():
            return event.session
        case vm.ComputationSubmitted() if isinstance(event.manifest.confidential, Sev):
            return event.manifest.confidential.session
    return None


class Replay:
    """Folds the events of a log one after another; ``world`` is what they come to.

    A log whose beginning was archived is folded from its base on: what stands before the base is
    in it. With ``only``, no other stream is folded.
    """

    def __init__(
        self, world: World | None = None, position: int = 0, only: str | None = None
    ) -> None:
        self.world = world or World()
        self.position = position
        self._only = only
        self._base: BaseReader | None = None

    def take(self, record: Record) -> None:
        """Take the next event into account. Raises ReplayError for a base of another format."""
        if self.position == 0 and record.position > 1:
            self._base = BaseReader()
        self.position = record.position
        if self._base is None:
            if self._only in (None, record.stream):
                self.world.take(record)
        elif found := self._base.take(record):
            self.world, self._base = World.decoded(found.base.state), None

    def conclude(self) -> World:
        """Return the state after the last event. Raises ReplayError if no base was met."""
        if self._base is not None:
            raise ReplayError(
                f"what led to position {self.position} was archived, and the state that replaces "
                "it comes later; choose a later position, or put the archived segments back"
            )
        return self.world


def replay(records: Iterable[Record]) -> World:
    """Fold a log from its beginning, or what is left of it. Raises ReplayError."""
    folding = Replay()
    for record in records:
        folding.take(record)
    return folding.conclude()


def evolved(state: VmState | None, record: Record, schema: Schema = SCHEMA) -> VmState:
    """Return a VM's state after one more event of its stream.

    Raises UnknownEventError, also for an event that cannot follow on that state.
    """
    event = schema.decode(record)
    try:
        if state is None:
            return define_from(record, event)
        return evolve(state, event, recorded_ms(record))
    except AssertionError as error:
        raise UnknownEventError(
            f"the log holds {record.type!r} at position {record.position}, which cannot follow on "
            f"what is before it ({error}); start the version that wrote it, or a newer one"
        ) from error


def define_from(record: Record, event: vm.ComputationSubmitted) -> VmState:
    """Return the first state of the VM that a record submits."""
    assert isinstance(event, vm.ComputationSubmitted), "a VM begins with its submission"
    return define(
        event,
        recorded_ms(record),
        vm_id=record.stream.removeprefix(VM_PREFIX),
        tenant=record.tenant,
        principal=record.principal,
    )


def begun(records: Sequence[Record]) -> VmState:
    """Return the state after the first records of a VM's stream, of which there is one or more."""
    state: VmState | None = None
    for record in records:
        state = evolved(state, record)
    assert state is not None, "a VM begins with its submission"
    return state


async def load_vm(
    log: EventLog, vm_id: str, state: VmState | None = None, position: int = 0
) -> VmState | None:
    """Fold one VM's stream from its beginning, or from its ``state`` at a position."""
    async for record in log.read(position, stream=vm_stream(vm_id)):
        state = evolved(state, record)
    return state


async def go_on_from(log: EventLog, clock: Clock) -> None:
    """Let no time be before the last event of the log."""
    async for record in log.read(max(log.head - 1, 0)):
        behind_s = clock.not_before(record.recorded_at) / 1e9
        if behind_s > CLOCK_BEHIND_S:
            logger.warning(
                "the clock of this host is %.0f s behind the last event of the log; until it has "
                "caught up, time goes on from that event: set the clock right",
                behind_s,
            )
