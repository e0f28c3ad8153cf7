"""Slots and host ports for all VMs: what a launch needs before any of its files is made."""

from collections.abc import Callable, Iterable

import msgspec
import trio

from supervisor.actor import Report
from supervisor.admission.forwarding import HostPorts, NetworkUnavailable
from supervisor.admission.network import NOT_GIVEN, is_given
from supervisor.admission.slots import Slots
from supervisor.config import Capacity
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.spec import Network
from supervisor.vm.state import VmState


class Reservations:
    """Answers :class:`supervisor.vm.effects.Reserve`, at once or when the VM's turn has come."""

    def __init__(self, capacity: Capacity, can_listen: Callable[[int], bool]) -> None:
        self._slots = Slots(capacity.max_running)
        self._capacity = capacity
        self._ports = HostPorts(capacity.forward_ports, can_listen)
        self._moves: dict[str, trio.Event] = {}

    def rebuild(self, states: Iterable[VmState]) -> None:
        """Take over what the log says, before any actor asks."""
        self._slots.rebuild(states)

    def follow(self, state: VmState) -> None:
        """Take a new durable state into account."""
        self._wake(self._slots.follow(state))

    def queue_position(self, vm_id: str) -> int | None:
        """Return how far a VM is from its turn: 1 is next; None if it does not wait."""
        return self._slots.line.position(vm_id)

    async def reserve(self, vm_id: str, order: fx.Reserve, report: Report) -> None:
        """Report Reserved, perhaps after Queued, or else ReservationRefused.

        Nothing more is reported of a VM that gave up meanwhile. Cancelling keeps its claim, or its
        place: whoever asks again for the same launch finds it.
        """
        ticket = self._slots.enter(vm_id, order.ticket)
        if ticket is not None and ticket != order.ticket:
            await report(ob.Queued(order.launch, ticket))
        if self._slots.line.ticket(vm_id) is not None:
            await self._moves.setdefault(vm_id, trio.Event()).wait()
        if (answer := self._answer(vm_id, order)) is not None:
            await report(answer)

    def _answer(self, vm_id: str, order: fx.Reserve) -> ob.Reserved | ob.ReservationRefused | None:
        claim = self._slots.claims.get(vm_id)
        if claim is None:
            return None
        try:
            ports = claim.host_ports or self._choose_ports(order.network)
        except NetworkUnavailable as why:
            self._wake(self._slots.release(vm_id))
            return ob.ReservationRefused(order.launch, str(why))
        self._slots.claims[vm_id] = msgspec.structs.replace(claim, host_ports=ports)
        return ob.Reserved(order.launch, ports)

    def _choose_ports(self, network: Network) -> tuple[int, ...]:
        if not is_given(network.mode, self._capacity):
            raise NetworkUnavailable(NOT_GIVEN)  # it was, when the computation was taken
        return self._ports.choose(network.forwards, self._held_ports())

    def _held_ports(self) -> set[int]:
        return {port for claim in self._slots.claims.values() for port in claim.host_ports}

    def _wake(self, moved: Iterable[str]) -> None:
        for vm_id in moved:
            if (move := self._moves.pop(vm_id, None)) is not None:
                move.set()
