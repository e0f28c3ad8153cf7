"""vm_id -> address. The only list of VMs there is; the log is what it is rebuilt from."""

from collections import Counter
from collections.abc import Callable, Iterator

from supervisor.actor import VmRef
from supervisor.caller import Caller
from supervisor.vm.commands import Command, CommandDenied, DenyReason
from supervisor.vm.state import Phase, VmState


class Registry:
    """The VMs of this daemon, deleted ones left out.

    ``follow`` is told every durable state, the first one too.
    """

    def __init__(self, follow: Callable[[VmState], None] = lambda state: None) -> None:
        self._follow = follow
        self._refs: dict[str, VmRef] = {}
        self._set_aside: dict[str, str] = {}
        self._owned: Counter[tuple[str, str]] = Counter()

    def add(self, state: VmState) -> VmRef:
        """Give a VM an address."""
        ref = self._refs[state.vm_id] = VmRef(state, self._follow)
        self._owned[state.tenant, state.principal] += 1
        self._follow(state)
        return ref

    def set_aside(self, vm_id: str, why: str) -> None:
        """Note a VM that cannot be attended to; whoever asks for it is told why."""
        self._set_aside[vm_id] = why

    def forget(self, vm_id: str) -> None:
        """Drop the address of a VM that was deleted."""
        state = self._refs.pop(vm_id).state
        self._owned[state.tenant, state.principal] -= 1

    def count(self) -> int:
        """Return how many VMs there are."""
        return len(self._refs)

    def count_of(self, tenant: str, principal: str) -> int:
        """Return how many VMs a principal submitted."""
        return self._owned[tenant, principal]

    def get(self, vm_id: str) -> VmState:
        """Return a VM's latest durable state. Raises CommandDenied."""
        return self._find(vm_id).state

    def find(self, vm_id: str) -> VmState | None:
        """Return a VM's latest durable state, deleted or not; None when there is no such VM."""
        ref = self._refs.get(vm_id)
        return ref.state if ref else None

    def is_set_aside(self, vm_id: str) -> bool:
        """Whether the VM cannot be attended to."""
        return vm_id in self._set_aside

    def states(self) -> Iterator[VmState]:
        """Return every VM's latest durable state, in the order of their ids."""
        return (self._refs[vm_id].state for vm_id in sorted(self._refs))

    async def ask(self, vm_id: str, command: Command, caller: Caller) -> VmState:
        """Send a command to a VM; return its state once it is durable. Raises CommandDenied."""
        return await self._find(vm_id).ask(command, caller)

    def _find(self, vm_id: str) -> VmRef:
        if why := self._set_aside.get(vm_id):
            raise CommandDenied(DenyReason.EVENT_UNKNOWN, why)
        ref = self._refs.get(vm_id)
        if ref is None or ref.state.phase is Phase.DELETED:
            raise CommandDenied(DenyReason.VM_UNKNOWN, f"there is no VM {vm_id!r:.80}")
        return ref
