"""Which VMs may have a launch now, and which wait for that: who came first goes first.

Nothing here is durable. It is rebuilt from the folded VMs before any of them has an actor, and then
follows every state that became durable: so a slot is freed by what the log says, never by a call
that somebody forgot.

A claim begins when its turn has come, and lasts as long as the VM is to have, or has, the launch
that was due then. A VM in BACKOFF has none: its next launch is due when the wait is over.
"""

from collections.abc import Iterable, Iterator
from heapq import merge

import msgspec

from supervisor.admission.line import Line, Place
from supervisor.vm.state import ALIVE, WAITING, Phase, VmState


class Claim(msgspec.Struct, frozen=True):
    """A slot for the launch that was due at ``due_ms``, with the host ports that it was given."""

    due_ms: int
    host_ports: tuple[int, ...] = ()


class Slots:
    """Never more claims than ``most``, except those of launches that live already."""

    def __init__(self, most: int) -> None:
        self.claims: dict[str, Claim] = {}
        self.line = Line()
        self._most = most
        self._due: dict[str, int] = {}
        self._last_ticket = 0

    def rebuild(self, states: Iterable[VmState]) -> None:
        """Take over what the log says: live launches first, then who waits, in their order."""
        known = list(states)
        self._last_ticket = max((state.ticket or 0 for state in known), default=0)
        for state in known:
            self.follow(state)
        for state in _in_order(known):
            if self._is_free():
                self.claims[state.vm_id] = Claim(state.due_ms)
            elif state.phase is Phase.QUEUED and state.ticket is not None:
                # One that is due again still has the ticket of an earlier wait; that is used up.
                self.line.join(Place(state.ticket, state.vm_id))

    def enter(self, vm_id: str, ticket: int | None) -> int | None:
        """Claim a slot for a VM, or a place in the line; return the ticket of that place.

        ``ticket`` is the one that the log already says. Entering again changes nothing, nor does
        entering for a VM that is not to be launched any more.
        """
        if vm_id in self.claims or vm_id not in self._due:
            return None
        if (known := self.line.ticket(vm_id)) is not None:
            return known
        if self._is_free():
            self.claims[vm_id] = Claim(self._due[vm_id])
            return None
        if ticket is None:
            ticket = self._last_ticket = self._last_ticket + 1
        self.line.join(Place(ticket, vm_id))
        return ticket

    def follow(self, state: VmState) -> list[str]:
        """Take a new durable state into account; return the VMs that wait no longer."""
        vm_id = state.vm_id
        if state.phase in WAITING:
            self._due[vm_id] = state.due_ms
            claim = self.claims.get(vm_id)
            return [] if claim is None or self._is_kept(claim, state) else self.release(vm_id)
        self._due.pop(vm_id, None)
        if state.phase in ALIVE:
            self.claims[vm_id] = Claim(state.due_ms, state.current.host_ports)
            return [vm_id] if self.line.leave(vm_id) else []
        return self.release(vm_id)

    def release(self, vm_id: str) -> list[str]:
        """Take back a VM's claim or place; return the VMs that wait no longer."""
        left = [vm_id] if self.line.leave(vm_id) else []
        self.claims.pop(vm_id, None)
        return [*left, *self._take_turns()]

    def _take_turns(self) -> Iterator[str]:
        while self.line and self._is_free():
            vm_id = self.line.pop()
            self.claims[vm_id] = Claim(self._due[vm_id])
            yield vm_id

    def _is_kept(self, claim: Claim, state: VmState) -> bool:
        # A launch that came to nothing is made up for, except where fewer may run by now.
        return claim.due_ms == state.due_ms and len(self.claims) <= self._most

    def _is_free(self) -> bool:
        """Whether a slot is free; then nobody stands in the line, or only until turns are taken."""
        return len(self.claims) < self._most


def _in_order(states: list[VmState]) -> Iterator[VmState]:
    """Yield those that wait, the one whose turn is next at first.

    A VM without a ticket had its slot when the daemon died, or had only just come. Which of the
    two, is told by since when those with a ticket wait.
    """
    queued = sorted((each for each in states if each.phase is Phase.QUEUED), key=_ticket)
    others = sorted((each for each in states if each.phase is Phase.DEFINED), key=_due)
    return merge(others, queued, key=_due)


def _ticket(state: VmState) -> int:
    return state.ticket or 0


def _due(state: VmState) -> int:
    return state.due_ms
