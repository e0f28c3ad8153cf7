"""A turn and ports for each launch, asked for by tasks that wait, give up and crash."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.admission.reservations import Reservations
from supervisor.config import Capacity, PortRange
from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.evolve import fold
from supervisor.vm.observations import Observation
from supervisor.vm.spec import Forward, Manifest, Network, NetworkMode
from supervisor.vm.state import Phase
from tests.vm.states import DIRECTORY, IMAGES, MANIFEST, NOW, SHA256, defined

STOPPED = ev.VmStopped(0, ev.Outcome.STOPPED_BY_CLIENT, "enough")
ANY, ANY_OTHER = Forward(80), Forward(81)


def forwarding(*forwards: Forward) -> Manifest:
    network = Network(NetworkMode.RESTRICTED, forwards)
    return msgspec.structs.replace(MANIFEST, network=network)


class Vm:
    """A VM whose Reserve is performed as its actor would have it performed."""

    def __init__(self, desk: "Desk", vm_id: str, manifest: Manifest = MANIFEST) -> None:
        self.state = msgspec.structs.replace(defined(manifest), vm_id=vm_id)
        self.heard: list[Observation] = []
        self._desk = desk
        self._asking = trio.CancelScope()

    def ask(self) -> None:
        self._asking = trio.CancelScope()
        self._desk.nursery.start_soon(self._reserve)

    def crash(self) -> None:
        """End the actor's tasks; what it knows of the VM stays."""
        self._asking.cancel()

    def write(self, *events: ev.Event) -> None:
        for event in events:
            self.state = fold(self.state, [event], NOW)
            self._desk.reservations.follow(self.state)

    def launch(self) -> None:
        (reserved,) = (seen for seen in self.heard if isinstance(seen, ob.Reserved))
        intent = ev.LaunchIntended(
            1, DIRECTORY, "uuid", ("qemu",), SHA256, IMAGES, "tcg", 0, reserved.host_ports
        )
        self.write(intent)

    @property
    def ports(self) -> tuple[int, ...]:
        last = self.heard[-1]
        assert isinstance(last, ob.Reserved)
        return last.host_ports

    async def _reserve(self) -> None:
        state = self.state
        ticket = state.ticket if state.phase is Phase.QUEUED else None
        order = fx.Reserve(state.next_launch, state.manifest.network, ticket)
        with self._asking:
            await self._desk.reservations.reserve(state.vm_id, order, self._hear)

    async def _hear(self, observation: Observation) -> None:
        self.heard.append(observation)
        if isinstance(observation, ob.Queued):
            self.write(ev.Queued(observation.launch, observation.ticket))


class Desk:
    """Reservations of one life of the daemon."""

    def __init__(self, nursery: trio.Nursery, reservations: Reservations) -> None:
        self.nursery = nursery
        self.reservations = reservations

    def take(self, vm_id: str, manifest: Manifest = MANIFEST) -> Vm:
        vm = Vm(self, vm_id, manifest)
        self.reservations.follow(vm.state)
        vm.ask()
        return vm


@asynccontextmanager
async def desk(
    *,
    max_running: int = 1,
    low: int = 100,
    high: int = 199,
    strangers: frozenset[int] = frozenset(),
) -> AsyncIterator[Desk]:
    capacity = Capacity(max_running=max_running, forward_ports=PortRange(low, high))
    async with trio.open_nursery() as nursery:
        yield Desk(nursery, Reservations(capacity, lambda port: port not in strangers))
        nursery.cancel_scope.cancel()


async def test_where_there_is_room_nothing_is_said_of_a_queue() -> None:
    async with desk() as open_desk:
        vm = open_desk.take("a")
        await wait_all_tasks_blocked()
        assert vm.heard == [ob.Reserved(1, ())]


async def test_the_turn_comes_when_a_launch_before_is_over() -> None:
    async with desk() as open_desk:
        first = open_desk.take("a")
        await wait_all_tasks_blocked()
        second = open_desk.take("b")
        await wait_all_tasks_blocked()
        third = open_desk.take("c")
        await wait_all_tasks_blocked()
        assert (second.heard, third.heard) == ([ob.Queued(1, 1)], [ob.Queued(1, 2)])
        assert open_desk.reservations.queue_position("c") == 2
        first.launch()
        first.write(ev.VmFailed(1, ev.Outcome.QEMU_CRASHED, "signal 11"))
        await wait_all_tasks_blocked()
        assert second.heard[1:] == [ob.Reserved(1, ())]
        assert third.heard[1:] == []
        assert open_desk.reservations.queue_position("b") is None
        assert open_desk.reservations.queue_position("c") == 1


async def test_a_vm_that_is_stopped_while_it_waits_hears_no_more() -> None:
    async with desk() as open_desk:
        first = open_desk.take("a")
        await wait_all_tasks_blocked()
        second, third = open_desk.take("b"), open_desk.take("c")
        await wait_all_tasks_blocked()
        second.write(STOPPED)
        first.write(STOPPED)
        await wait_all_tasks_blocked()
        assert len(second.heard) == 1
        assert third.heard[1:] == [ob.Reserved(1, ())]


async def test_an_actor_that_crashed_finds_its_place_and_then_its_slot_again() -> None:
    async with desk() as open_desk:
        first = open_desk.take("a")
        await wait_all_tasks_blocked()
        second = open_desk.take("b")
        await wait_all_tasks_blocked()
        open_desk.take("c")
        await wait_all_tasks_blocked()
        second.crash()
        await wait_all_tasks_blocked()
        first.write(STOPPED)  # its turn comes while nobody asks
        await wait_all_tasks_blocked()
        second.ask()
        await wait_all_tasks_blocked()
        assert second.heard == [ob.Queued(1, 1), ob.Reserved(1, ())]
        assert open_desk.reservations.queue_position("c") == 1


async def test_who_asks_twice_has_one_slot_and_the_same_ports() -> None:
    async with desk(max_running=2) as open_desk:
        vm = open_desk.take("a", forwarding(ANY))
        await wait_all_tasks_blocked()
        vm.crash()
        vm.ask()
        await wait_all_tasks_blocked()
        assert vm.heard == [ob.Reserved(1, (100,)), ob.Reserved(1, (100,))]
        other = open_desk.take("b")
        await wait_all_tasks_blocked()
        assert other.heard == [ob.Reserved(1, ())]


async def test_no_port_is_given_to_two_vms_that_live() -> None:
    async with desk(max_running=9, low=100, high=102) as open_desk:
        vms = [open_desk.take(vm_id, forwarding(ANY)) for vm_id in "abc"]
        await wait_all_tasks_blocked()
        assert sorted(vm.ports for vm in vms) == [(100,), (101,), (102,)]
        late = open_desk.take("d", forwarding(ANY))
        await wait_all_tasks_blocked()
        assert late.heard == [ob.ReservationRefused(1, "none of the host ports 100-102 is free")]
        vms[1].write(STOPPED)
        again = open_desk.take("e", forwarding(ANY))
        await wait_all_tasks_blocked()
        assert again.ports == vms[1].ports


async def test_who_gets_no_port_keeps_no_slot() -> None:
    async with desk(strangers=frozenset({150})) as open_desk:
        first = open_desk.take("a", forwarding(Forward(80, 150)))
        await wait_all_tasks_blocked()
        assert first.heard == [ob.ReservationRefused(1, "another program listens on host port 150")]
        second = open_desk.take("b")
        await wait_all_tasks_blocked()
        assert second.heard == [ob.Reserved(1, ())]


@pytest.mark.fault("port-given-twice")
async def test_the_ports_of_live_launches_are_held_before_anything_is_given_after_a_restart() -> (
    None
):
    async with desk(max_running=9) as before:
        vms = [before.take(vm_id, forwarding(ANY, ANY_OTHER)) for vm_id in "ab"]
        await wait_all_tasks_blocked()
        for vm in vms:
            vm.launch()
    held = {port for vm in vms for port in vm.ports}
    async with desk(max_running=9) as successor:
        successor.reservations.rebuild([vm.state for vm in vms])
        new = successor.take("c", forwarding(ANY, ANY_OTHER))
        await wait_all_tasks_blocked()
        assert len(held) == 4
        assert held.isdisjoint(new.ports)
        taken = min(held)
        thief = successor.take("d", forwarding(Forward(80, taken)))
        await wait_all_tasks_blocked()
        assert thief.heard == [ob.ReservationRefused(1, f"host port {taken} is held by another VM")]


async def test_a_launch_that_came_to_nothing_is_followed_by_one_with_the_same_ports() -> None:
    async with desk() as open_desk:
        vm = open_desk.take("a", forwarding(ANY))
        await wait_all_tasks_blocked()
        vm.launch()
        waiting = open_desk.take("b")
        await wait_all_tasks_blocked()
        vm.write(ev.LaunchAbandoned(1))
        vm.ask()
        await wait_all_tasks_blocked()
        assert vm.heard == [ob.Reserved(1, (100,)), ob.Reserved(2, (100,))]
        assert waiting.heard == [ob.Queued(1, 1)]


async def test_a_vm_that_waits_for_its_restart_holds_nothing() -> None:
    async with desk() as open_desk:
        vm = open_desk.take("a", forwarding(Forward(80, 150)))
        await wait_all_tasks_blocked()
        vm.launch()
        other = open_desk.take("b", forwarding(Forward(80, 150)))
        await wait_all_tasks_blocked()
        vm.write(ev.LaunchEnded(1, ev.Outcome.QEMU_CRASHED, "signal 11", 1, NOW))
        await wait_all_tasks_blocked()
        assert other.heard == [ob.Queued(1, 1), ob.Reserved(1, (150,))]
        vm.write(ev.BackoffElapsed(2))
        vm.ask()
        await wait_all_tasks_blocked()
        assert vm.heard[1:] == [ob.Queued(2, 2)]


async def test_a_network_that_is_not_given_any_more_is_refused_at_the_launch() -> None:
    unrestricted = msgspec.structs.replace(MANIFEST, network=Network(NetworkMode.USER))
    async with desk() as open_desk:
        vm = open_desk.take("a", unrestricted)
        await wait_all_tasks_blocked()
        (refused,) = vm.heard
        assert isinstance(refused, ob.ReservationRefused)
        assert "serve --allow-unrestricted-network" in refused.detail
