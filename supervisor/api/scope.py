"""The daemon as one caller may see it: a VM out of its reach is a VM that is not there.

Every handler of a request asks through :func:`seen_by`, so that no protocol can forget.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from eventlog import Record
from supervisor.access.roles import Reach
from supervisor.api.ports import Report, Stored, Submitted, Supervisor, Transcript
from supervisor.caller import Caller
from supervisor.journal import VM_PREFIX
from supervisor.replay import begun
from supervisor.schema import TAGS
from supervisor.vm.commands import Command, CommandDenied, DenyReason
from supervisor.vm.confidential import GuestSession
from supervisor.vm.events import ComputationSubmitted
from supervisor.vm.inputs import InputName, awaited_inputs
from supervisor.vm.spec import Manifest
from supervisor.vm.state import Result, VmState

REMEMBERED = 10_000
"""VMs of which a subscriber's sight is kept, so that it also hears of their end; as many as there
may be by default."""

SUBMITTED = TAGS[ComputationSubmitted]

Sight = Callable[[Record], bool]
"""Whether a caller may see an event."""


def owns(caller: Caller, state: VmState) -> bool:
    """Whether the caller submitted a VM."""
    return (state.tenant, state.principal) == (caller.tenant, caller.principal)


def concerns(caller: Caller, state: VmState) -> bool:
    """Whether the caller submitted a VM, or its manifest names it."""
    providers = (name.provider for name in awaited_inputs(state.manifest))
    named = (*providers, *state.manifest.result_consumers)
    return owns(caller, state) or (state.tenant == caller.tenant and caller.principal in named)


def reaches(caller: Caller, state: VmState) -> bool:
    """Whether a VM is one of those that the caller's request may touch."""
    match caller.reach:
        case Reach.EVERYTHING:
            return True
        case Reach.TENANT:
            return state.tenant == caller.tenant
        case Reach.CONCERNED:
            return concerns(caller, state)
        case Reach.OWN:
            return owns(caller, state)
        case Reach.NOTHING:
            return False


def within_reach(caller: Caller, state: VmState) -> VmState:
    """Return the VM, if it is there for this caller. Raises CommandDenied."""
    if not reaches(caller, state):
        raise CommandDenied(DenyReason.VM_UNKNOWN, f"there is no VM {state.vm_id!r:.80}")
    return state


class SeenBy:
    """What is asked of the daemon for the sake of VMs and inputs, as far as one caller reaches."""

    def __init__(self, supervisor: Supervisor, caller: Caller) -> None:
        self._supervisor = supervisor
        self._caller = caller

    def get(self, vm_id: str) -> VmState:
        """Return one VM. Raises CommandDenied."""
        return within_reach(self._caller, self._supervisor.get(vm_id))

    def list(self) -> Iterable[VmState]:
        """Return the VMs within reach, by their ids."""
        return (state for state in self._supervisor.list() if reaches(self._caller, state))

    async def submit(
        self, manifest: Manifest, *, key: str, vm_id: str | None, caller: Caller
    ) -> Submitted:
        """Accept a computation. A key that another principal used is not the caller's to repeat."""
        taken = await self._supervisor.submit(manifest, key=key, vm_id=vm_id, caller=caller)
        if taken.reused and not reaches(self._caller, taken.state):
            detail = f"idempotency key {key!r} was used by another principal; choose a new key"
            raise CommandDenied(DenyReason.IDEMPOTENCY_KEY_REUSED, detail)
        return taken

    async def command(self, vm_id: str, command: Command, caller: Caller) -> VmState:
        """Obey a command."""
        self.get(vm_id)
        return await self._supervisor.command(vm_id, command, caller)

    async def provide_session(self, vm_id: str, session: GuestSession, caller: Caller) -> VmState:
        """Keep an owner's session."""
        self.get(vm_id)
        return await self._supervisor.provide_session(vm_id, session, caller)

    async def report(self, vm_id: str, nonce: bytes, caller: Caller) -> Report:
        """Have the secure processor report."""
        self.get(vm_id)
        return await self._supervisor.report(vm_id, nonce, caller)

    async def upload(
        self, chunks: AsyncIterator[bytes], *, sha256: str | None, caller: Caller
    ) -> Stored:
        """Store the bytes."""
        return await self._supervisor.upload(chunks, sha256=sha256, caller=caller)

    def check_provider(self, vm_id: str, provider: str) -> None:
        """Raise CommandDenied where an input is not the caller's to bring."""
        state, caller = self.get(vm_id), self._caller
        may_for_others = owns(caller, state) or caller.reach is Reach.EVERYTHING
        if provider != caller.principal and not may_for_others:
            detail = f"inputs of {provider!r:.160} are not {caller.principal}'s to provide"
            raise CommandDenied(DenyReason.PERMISSION_DENIED, detail)

    async def provide_input(
        self, vm_id: str, name: InputName, sha256: str, caller: Caller
    ) -> VmState:
        """Bring an input, which is the caller's own unless the VM is."""
        self.check_provider(vm_id, name.provider)
        return await self._supervisor.provide_input(vm_id, name, sha256, caller)

    def open_result(self, vm_id: str, caller: Caller) -> tuple[Path, Result]:
        """Return where a result lies; who only provides an input has no part in it."""
        state = self.get(vm_id)
        named = caller.principal in state.manifest.result_consumers
        if not (named or owns(caller, state) or caller.reach is Reach.EVERYTHING):
            detail = f"the manifest of VM {vm_id!r} does not name {caller.principal} as a consumer"
            raise CommandDenied(DenyReason.NOT_A_CONSUMER, detail)
        return self._supervisor.open_result(vm_id, caller)

    def console(self, vm_id: str, launch: int | None = None) -> Path:
        """Return the console log of a launch."""
        self.get(vm_id)
        return self._supervisor.console(vm_id, launch)

    async def transcript(self, vm_id: str, launch: int | None) -> Transcript:
        """Return what was said on QMP in a launch."""
        self.get(vm_id)
        return await self._supervisor.transcript(vm_id, launch)

    def guest_log(self, vm_id: str, launch: int | None = None) -> Path:
        """Return what the algorithm printed in a launch."""
        self.get(vm_id)
        return self._supervisor.guest_log(vm_id, launch)

    def sight(self, vm_id: str | None) -> Sight:
        """Return which events the caller may see, who asks for one VM or for all."""
        return sight(self._caller, self._supervisor.get, vm_id)


seen_by = SeenBy


def sight(caller: Caller, get: Callable[[str], VmState], vm_id: str | None) -> Sight:
    """Return which events a caller may see; ``get`` returns a VM or raises CommandDenied."""
    if caller.reach is Reach.EVERYTHING:
        return lambda _record: True
    if caller.reach is Reach.TENANT:
        return lambda record: record.tenant == caller.tenant
    concerned = _Concerned(caller, get)
    if vm_id is not None:
        concerned.meet(vm_id)
    return concerned.sees


class _Concerned:
    """The events of the VMs that a caller reaches, and of what it did itself.

    A VM that was deleted is known no more; of one that was met before, the answer is remembered.
    """

    def __init__(self, caller: Caller, get: Callable[[str], VmState]) -> None:
        self._caller = caller
        self._get = get
        self._met: OrderedDict[str, bool] = OrderedDict()

    def sees(self, record: Record) -> bool:
        """Whether the caller may see an event."""
        if record.tenant != self._caller.tenant:
            return False
        own = record.principal == self._caller.principal
        if own or not record.stream.startswith(VM_PREFIX):
            return own
        return self.meet(record.stream.removeprefix(VM_PREFIX), record)

    def meet(self, vm_id: str, record: Record | None = None) -> bool:
        """Whether the caller reaches a VM, of which ``record`` may be the first event."""
        if vm_id not in self._met:
            state = self._find(vm_id, record)
            if state is None:
                return False
            self._met[vm_id] = reaches(self._caller, state)
            if len(self._met) > REMEMBERED:
                self._met.popitem(last=False)
        return self._met[vm_id]

    def _find(self, vm_id: str, record: Record | None) -> VmState | None:
        try:
            return self._get(vm_id)
        except CommandDenied:
            return begun([record]) if record and record.type == SUBMITTED else None
