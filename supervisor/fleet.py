"""Every VM of one life of the daemon: taken in, given an actor, started again from the log.

It opens no file, no socket and no clock: what touches the world is passed in as
:class:`Surroundings`, so that the simulation (tests/simulation) runs this very code.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from functools import cached_property, partial
from itertools import islice

import msgspec
import trio
from structlog.contextvars import bound_contextvars

from eventlog import EventLog, Record
from supervisor.actor import CORE, Core, Host, Report, VmActor, VmRef
from supervisor.admission.events import DaemonStarted, DaemonStopped, Event, StopReason
from supervisor.admission.forwarding import can_listen
from supervisor.admission.intake import Admission, Intake
from supervisor.admission.quotas import Quotas
from supervisor.admission.reservations import Reservations
from supervisor.admission.state import AdmissionState
from supervisor.caller import Caller
from supervisor.cause import Cause
from supervisor.config import Capacity
from supervisor.journal import HOST_STREAM, LogJournal, encode
from supervisor.recovery import Recovery
from supervisor.registry import Registry
from supervisor.replay import World, begun
from supervisor.supervision import supervise
from supervisor.vm.commands import CommandDenied, Stop
from supervisor.vm.effects import Effect, Reattach, Reserve
from supervisor.vm.spec import Manifest
from supervisor.vm.state import ALIVE, ENDED, VmState

logger = logging.getLogger(__name__)

HOST_TENANT = "host"
SET_ASIDE = "the daemon was told to set this VM aside; start it without --set-aside to attend to it"
UNATTENDED_TOLD_MAX = 100
"""Ids in one event; the daemon's messages name them all."""
STOP_ALL_S = 60
"""What the VMs get to end, before a daemon that was told to stop them leaves all the same."""


class Surroundings(msgspec.Struct, frozen=True):
    """What touches the world: the host of each VM, its inputs, its state in the log, the clock."""

    host: Callable[[str], Host]
    check_inputs: Callable[[Manifest, Caller], None]
    load: Callable[[str], Awaitable[VmState]]
    clock_ms: Callable[[], int]
    core: Core = CORE
    capacity: Capacity = Capacity()
    can_listen: Callable[[int], bool] = can_listen
    reservations: Callable[[Capacity, Callable[[int], bool]], Reservations] = Reservations


class ReservingHost:
    """The host of one VM, and before it what all VMs share.

    ``make`` is called once the VM needs its host: one that waits for its turn has none yet.
    """

    def __init__(self, vm_id: str, reservations: Reservations, make: Callable[[], Host]) -> None:
        self._vm_id = vm_id
        self._reservations = reservations
        self._make = make

    @cached_property
    def _host(self) -> Host:
        return self._make()

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do ``effect``; see :class:`supervisor.actor.Host`."""
        with bound_contextvars(effect=type(effect).__name__, launch=effect.launch):
            if isinstance(effect, Reserve):
                await self._reservations.reserve(self._vm_id, effect, report)
            else:
                await self._host.perform(effect, report)


class Fleet:
    """The VMs of one life, and how they are joined to the log."""

    def __init__(
        self, log: EventLog, world: World, surroundings: Surroundings, nursery: trio.Nursery
    ) -> None:
        self.reservations = surroundings.reservations(
            surroundings.capacity, surroundings.can_listen
        )
        self.registry = Registry(self.reservations.follow)
        self.admission = self._admit(log, world, surroundings)
        self._log = log
        self._surroundings = surroundings
        self._nursery = nursery
        self._life = Cause("", "")
        self._recovery = Recovery(())
        self.recovered = trio.Event()
        """Set when every VM of the log was looked for, and answered or was given up on."""

    def _admit(self, log: EventLog, world: World, surroundings: Surroundings) -> Admission:
        # The fold goes on with its own, so that each snapshot is of one moment.
        state = AdmissionState(world.admission.packed())
        quotas = Quotas(surroundings.capacity, self.registry)
        check = surroundings.check_inputs
        clock_ms = surroundings.clock_ms
        admission = Admission(state, log, check, self._start_submitted, quotas, clock_ms)
        if world.host is not None:
            admission.intake = Intake.UNREADABLE
            logger.error("no computations are taken: %s", world.host.why)
        return admission

    async def recover(
        self,
        started: DaemonStarted,
        world: World,
        *,
        notes: Sequence[Event] = (),
        set_aside: Set[str] = frozenset(),
    ) -> None:
        """Record that this life began, and ``notes`` on it; then give every VM its actor."""
        unattended = _unattended(world, set_aside)
        told = tuple(islice(unattended, UNATTENDED_TOLD_MAX))
        record = await self.record(msgspec.structs.replace(started, unattended=told))
        self._life = Cause(record.event_id, record.event_id)
        for note in notes:
            await self.record(note)
        attended = [state for vm_id, state in world.vms.items() if vm_id not in set_aside]
        aside = [state for vm_id, state in world.vms.items() if vm_id in set_aside]
        # Who is set aside keeps the slot and ports of a QEMU, and has no use for a turn.
        self.reservations.rebuild([*attended, *(each for each in aside if each.phase in ALIVE)])
        self._recovery = Recovery(self._sought(attended))
        for state in attended:
            self._start_actor(self.registry.add(state), self._life)
        for vm_id, why in unattended.items():
            logger.error("VM %s is not attended to: %s", vm_id, why)
            self.registry.set_aside(vm_id, why)
        for vm_id in sorted(set_aside - unattended.keys()):
            logger.warning("there is no VM %r to set aside", vm_id)
        self._nursery.start_soon(self._conclude_recovery)

    @property
    def sought(self) -> int:
        """How many VMs of the log nothing is known of yet."""
        return self._recovery.missing

    def _sought(self, states: Iterable[VmState]) -> list[str]:
        recover = self._surroundings.core.recover
        return [
            state.vm_id
            for state in states
            if any(isinstance(effect, Reattach) for effect in recover(state))
        ]

    async def _conclude_recovery(self) -> None:
        if sought := self._recovery.missing:
            found = await self._recovery.run()
            await self.record(found)
            logger.info("%d VMs were looked for in %d ms: %s", sought, found.took_ms, found)
        self.recovered.set()

    async def leave(self) -> None:
        """Take no more work, and record the end; VMs live on."""
        self.admission.intake = Intake.CLOSED
        left = sum(1 for state in self.registry.states() if state.phase in ALIVE)
        await self.record(DaemonStopped(StopReason.SIGNAL, left))

    async def stop_vms(self) -> None:
        """Take no more work, and stop every VM; return when they have ended, or at last."""
        self.admission.intake = Intake.CLOSED
        caller = Caller("daemon", HOST_TENANT, command_id=self._life.correlation_id)
        async with trio.open_nursery() as nursery:
            for state in list(self.registry.states()):
                if state.phase not in ENDED:
                    nursery.start_soon(self._stop_vm, state.vm_id, caller)

    async def _stop_vm(self, vm_id: str, caller: Caller) -> None:
        with trio.move_on_after(STOP_ALL_S) as patience:
            try:
                state = await self.registry.ask(vm_id, Stop(), caller)
            except CommandDenied as denied:
                logger.warning("VM %s was not stopped: %s", vm_id, denied)
                return
            if state.phase in ENDED:
                return
            async for _ in self._log.subscribe(self._log.head):
                if self.registry.get(vm_id).phase in ENDED:
                    return
        if patience.cancelled_caught:
            logger.warning("VM %s did not end within %d s and lives on", vm_id, STOP_ALL_S)

    def _start_submitted(self, records: Sequence[Record]) -> None:
        first, last = records[0], records[-1]
        cause = Cause(first.causation_id, first.correlation_id, traceparent=first.traceparent)
        ref = self.registry.add(begun(records))
        self._start_actor(ref, cause.followed_by(last.event_id))

    def _start_actor(self, ref: VmRef, cause: Cause) -> None:
        self._nursery.start_soon(self._run_actor, ref, cause, name=f"vm/{ref.state.vm_id}")

    async def _run_actor(self, ref: VmRef, cause: Cause) -> None:
        vm_id = ref.state.vm_id
        around = self._surroundings

        async def run_once() -> None:
            host = ReservingHost(vm_id, self.reservations, partial(self._found, vm_id))
            journal = LogJournal(self._log)
            await VmActor(ref, journal, host, around.clock_ms, around.core).run(cause)

        async def reload() -> None:
            ref.state = await around.load(vm_id)

        await supervise(vm_id, run_once, reload, around.clock_ms, lambda: self._log.head)
        self.registry.forget(vm_id)

    def _found(self, vm_id: str) -> Host:
        return self._recovery.guard(vm_id, self._surroundings.host(vm_id))

    async def record(self, event: Event) -> Record:
        """Make an event of the host durable."""
        new = encode(event, HOST_STREAM, HOST_TENANT, self._life)
        (record,) = await self._log.append([new])
        return record


def _unattended(world: World, set_aside: Set[str]) -> dict[str, str]:
    """Return why, by their ids, VMs of the log are left as they are."""
    ordered = dict.fromkeys(sorted(world.vms.keys() & set_aside), SET_ASIDE)
    return ordered | {vm_id: unreadable.why for vm_id, unreadable in world.unavailable.items()}
