"""What happens to a daemon and its host: one action after another, each chosen by the seed."""

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import get_args

import trio

from eventlog import EventLog
from supervisor.fleet import Fleet
from supervisor.service import Service
from supervisor.vm import observations as ob
from supervisor.vm.decide_agent import AgentObservation
from supervisor.vm.decide_guest import GuestObservation
from supervisor.vm.launching import BeforeLaunch
from supervisor.vm.observations import ExitEvidence, Observation, RunState, ShutdownCause
from supervisor.vm.spec import SECOND_MS
from supervisor.vm.state import Phase
from tests.host.fake_host import Attention
from tests.simulation.clients import MANIFESTS, Clients, Submission, random_command
from tests.simulation.disk import Space
from tests.simulation.life import Life
from tests.simulation.machine import SimulatedMachine, SimulatedQemu
from tests.simulation.universe import Power, Universe

ACTIONS = 64
"""Of one seed; each leads to two messages or so."""
VMS_MAX = 7
WORDS = 3
"""Late ones at a time."""

GUEST_WORDS = (*get_args(GuestObservation), *get_args(AgentObservation), ob.TimerFired)
"""What may come late while the process lives; as the streams of QMP and of the agent are two."""


class Leaving(Enum):
    """Whether the daemon is told to end."""

    STAYS = "stays"
    GOES = "goes, and VMs live on"
    STOPS_VMS = "goes when its VMs have ended"


Action = Callable[["Weather", Random], None]


class Weather:
    """The actions of one seed; it goes on in the next life where one ended."""

    def __init__(self, universe: Universe, seed: int, skipped: frozenset[int]) -> None:
        self._universe = universe
        self._seed = seed
        self._skipped = skipped
        self._next = 0
        self._submissions: list[Submission] = []
        self._leaving = Leaving.STAYS
        self._life: Life | None = None
        self._clients: Clients | None = None

    @property
    def is_over(self) -> bool:
        """Whether every action was taken."""
        return self._next >= ACTIONS

    async def rage(self, life: Life, fleet: Fleet, service: Service, log: EventLog) -> None:
        """Take the actions that are left, until one of them ends the daemon."""
        async with trio.open_nursery() as nursery:
            self._life = life
            self._clients = Clients(life, service, nursery)
            self._leaving = Leaving.STAYS
            while not self.is_over and self._leaving is Leaving.STAYS:
                await self._act()
            if self._leaving is Leaving.STOPS_VMS:
                await fleet.stop_vms()
            if self._leaving is not Leaving.STAYS:
                await fleet.leave()
            nursery.cancel_scope.cancel()

    async def _act(self) -> None:
        number, self._next = self._next, self._next + 1
        chance = Random((self._seed << 16) + number)
        await _pause(chance)
        if number in self._skipped:
            return
        action = chance.choices(_ACTIONS, _WEIGHTS)[0]
        action(self, chance)

    @property
    def clients(self) -> Clients:
        """Those of the present life."""
        assert self._clients is not None
        return self._clients

    @property
    def life(self) -> Life:
        """The present life."""
        assert self._life is not None
        return self._life

    @property
    def fleet(self) -> Fleet:
        """That of the present life."""
        assert self._universe.fleet is not None
        return self._universe.fleet

    # Clients

    def submit(self, chance: Random) -> None:
        """Submit something new."""
        if len(self._submissions) >= VMS_MAX:
            self.command(chance)
            return
        number = len(self._submissions)
        vm_id = chance.choice((f"vm-{number}", f"vm-{number}", "vm-0"))
        asked = Submission(f"key-{number}", chance.choice(MANIFESTS), vm_id)
        self._submissions.append(asked)
        self.clients.submit(asked)

    def submit_again(self, chance: Random) -> None:
        """Repeat a submission, perhaps with other contents."""
        if not self._submissions:
            self.submit(chance)
            return
        asked = chance.choice(self._submissions)
        if chance.random() < 0.2:
            asked = Submission(asked.key, chance.choice(MANIFESTS), asked.vm_id)
        for _ in range(chance.choice((1, 1, 2))):
            self.clients.submit(asked)

    def command(self, chance: Random) -> None:
        """Order anything of any VM."""
        known = self.clients.known()
        if known:
            self.clients.command(chance.choice(known), random_command(chance))

    # The daemon

    def kill(self, chance: Random) -> None:
        """Kill the daemon: now, at some await, or at some operation of the disk."""
        match chance.randrange(4):
            case 0:
                self.life.die("kill -9")
            case 1:
                self._universe.platter.disk.cut_at(chance.randint(1, 8))
            case _:
                self.life.die_in(chance.randint(1, 80))

    def leave(self, chance: Random) -> None:
        """End the daemon in good order, now and then together with all VMs."""
        self._leaving = chance.choice((Leaving.GOES, Leaving.GOES, Leaving.STOPS_VMS))

    def break_disk(self, chance: Random) -> None:
        """Fail one of the next writes, or fill the disk for a while."""
        platter = self._universe.platter
        if chance.random() < 0.5:
            platter.fail_in = chance.randint(1, 6)
        else:
            platter.space = Space.LEFT if platter.space is Space.NONE else Space.NONE

    def reboot(self, chance: Random) -> None:
        """Cut the power of the host."""
        self._universe.power = Power.LOST
        self.life.die("the host loses power")

    def set_clock(self, chance: Random) -> None:
        """Set the wall clock back, or ahead."""
        self._universe.clock.jump(chance.choice((-20, -2, 2, 20, 100)) * SECOND_MS)

    # QEMU and whoever else is on the host

    def crash_qemu(self, chance: Random) -> None:
        """End a QEMU by a signal that nobody here sent."""
        if qemu := self._some_qemu(chance):
            qemu.end(ExitEvidence(signal=11))

    def freeze(self, chance: Random) -> None:
        """SIGSTOP."""
        if qemu := self._some_qemu(chance):
            qemu.attention = Attention.FROZEN

    def thaw(self, chance: Random) -> None:
        """SIGCONT."""
        if qemu := self._some_qemu(chance):
            qemu.attention = Attention.AWAKE

    def meddle(self, chance: Random) -> None:
        """Let somebody use the monitor for humans, or SIGTERM."""
        qemu = self._some_qemu(chance)
        if qemu is None or qemu.attention is Attention.FROZEN:
            return
        match chance.randrange(3):
            case 0 if qemu.run_state is RunState.RUNNING:
                qemu.run_state = RunState.PAUSED
                self._say(qemu, ob.GuestStopped(qemu.launch))
            case 1 if qemu.run_state in (RunState.PAUSED, RunState.PRELAUNCH):
                qemu.run_state = RunState.RUNNING
                self._say(qemu, ob.GuestResumed(qemu.launch))
            case _:
                self._universe.hardware.start(qemu.leave, ShutdownCause.HOST_SIGNAL)

    def drop(self, chance: Random) -> None:
        """Lose events of a QEMU, or its QMP connection."""
        if qemu := self._some_qemu(chance):
            lost = ob.QmpLost(qemu.launch, "QEMU closed the QMP connection")
            dropped = ob.ObservationsDropped(qemu.launch, 7)
            self._say(qemu, chance.choice((lost, dropped)))

    def repeat(self, chance: Random) -> None:
        """Let old words be heard late, or again."""
        phases = chance.choice(_LISTENERS)
        listening = [
            self._universe.machines[state.vm_id]
            for state in self.fleet.registry.states()
            if state.phase in phases and state.vm_id in self._universe.machines
        ]
        machine = chance.choice(listening) if listening else self._some_machine(chance)
        if machine is None:
            return
        latest = max(machine.qemus, default=0) if chance.random() < 0.7 else 0
        words = [said for said in machine.past.values() if said.launch >= latest]
        old = [said for said in words if _may_be_late(said, machine)]
        for said in chance.sample(old, min(len(old), WORDS)):
            self._universe.hardware.start(machine.tell_again, said)

    def _say(self, qemu: SimulatedQemu, said: Observation) -> None:
        self._universe.hardware.start(qemu.say, said)

    def _some_machine(self, chance: Random) -> SimulatedMachine | None:
        machines = list(self._universe.machines.values())
        return chance.choice(machines) if machines else None

    def _some_qemu(self, chance: Random) -> SimulatedQemu | None:
        machine = self._some_machine(chance)
        return machine.current if machine else None


_LISTENERS = (
    (Phase.DEFINED, Phase.QUEUED, Phase.BACKOFF),
    (Phase.DEFINED,),
    (Phase.QUEUED,),
    (Phase.PAUSED,),
    (Phase.RUNNING, Phase.LAUNCHING),
    tuple(Phase),
)
"""Phases that late words are aimed at; some last too short to be met by chance."""


def _may_be_late(said: Observation, machine: SimulatedMachine) -> bool:
    """Of a process that is gone anything may be; of one that lives, nothing that says it is not."""
    if isinstance(said, BeforeLaunch | ob.FilesRemoved | ob.RemovalFailed):
        return False
    living = machine.current.launch if machine.current else None
    return said.launch != living or isinstance(said, GUEST_WORDS)


async def _pause(chance: Random) -> None:
    match chance.randrange(4):
        case 0:
            for _ in range(chance.randrange(12)):
                await trio.lowlevel.checkpoint()
        case 1 | 2:
            await trio.sleep(chance.uniform(0, 1.5))
        case _:
            await trio.sleep(chance.uniform(0, 12))


_ACTIONS: tuple[Action, ...] = (
    Weather.submit,
    Weather.submit_again,
    Weather.command,
    Weather.kill,
    Weather.leave,
    Weather.break_disk,
    Weather.reboot,
    Weather.set_clock,
    Weather.crash_qemu,
    Weather.freeze,
    Weather.thaw,
    Weather.meddle,
    Weather.drop,
    Weather.repeat,
)
_WEIGHTS = (20, 6, 28, 4, 1, 2, 1, 3, 3, 4, 6, 4, 4, 14)
