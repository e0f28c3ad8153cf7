"""The simulated host: one corner of it for each VM, with processes that outlive the daemon."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

import trio

from supervisor.host.report import Report
from supervisor.vm import observations as ob
from supervisor.vm.observations import (
    ExitEvidence,
    Observation,
    ProcessIdentity,
    RunState,
    ShutdownCause,
)
from tests.host.fake_host import Attention, FakeMachine, FakeQemu
from tests.simulation.guest import Guest, Temper
from tests.simulation.violation import Killed, Violation

Start = Callable[..., object]
"""Begins a task that outlives every daemon: ``start_soon`` of the nursery of a whole simulation."""


class SimulatedQemu(FakeQemu):
    """A process with a guest in it."""

    def __init__(
        self, launch: int, uuid: str, identity: ProcessIdentity, temper: Temper, chance: Random
    ) -> None:
        self._moved = trio.lowlevel.ParkingLot()
        self._boots = 0
        self._boot = trio.CancelScope()
        self._run_state = RunState.PRELAUNCH
        self._attention = Attention.AWAKE
        super().__init__(launch, uuid, identity)
        self._temper = temper
        self._chance = chance
        self.guest = Guest(self, temper, chance)

    @property
    def run_state(self) -> RunState:
        """What ``query-status`` says."""
        return self._run_state

    @run_state.setter
    def run_state(self, run_state: RunState) -> None:
        self._run_state = run_state
        self._moved.unpark_all()

    @property
    def attention(self) -> Attention:
        """FROZEN by SIGSTOP: the guest stands still, too."""
        return self._attention

    @attention.setter
    def attention(self, attention: Attention) -> None:
        self._attention = attention
        self._moved.unpark_all()

    @property
    def can_run(self) -> bool:
        """Whether ``cont`` is obeyed; one that went down must be reset first."""
        return self._run_state in (RunState.PRELAUNCH, RunState.PAUSED, RunState.RUNNING)

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.exit is None

    async def runs(self) -> None:
        """Wait until the CPUs run."""
        while self._run_state is not RunState.RUNNING or self._attention is Attention.FROZEN:
            await self._moved.park()

    async def say(self, *observations: Observation) -> None:
        """Tell whoever attends; a daemon that dies meanwhile has not heard it."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, Killed):
            await super().say(*observations)

    def end(self, evidence: ExitEvidence) -> None:
        """End the process, and the guest with it."""
        super().end(evidence)
        self._boot.cancel()

    def reset(self) -> None:
        """Let the guest begin again."""
        self._boots += 1
        self._boot.cancel()

    async def run(self) -> None:
        """Boot the guest, and boot it again after each reset, until the process ends."""
        while self.alive:
            boot = self._boots
            with trio.CancelScope() as self._boot:
                await self.runs()
                await self.guest.live()
                await self.ended.wait()
            if boot != self._boots:
                result = self.guest.result
                self.guest = Guest(self, self._temper, self._chance)
                self.guest.result = result

    async def leave(self, cause: ShutdownCause) -> None:
        """Exit in good order, whoever still listens."""
        await self.say(ob.GuestShutDown(self.launch, cause))
        self.end(ExitEvidence(exit_code=0))


class Hardware:
    """What all VMs of a host share: its boot, its process ids, and how its processes begin."""

    def __init__(self, start: Start, chance: Random, most_running: int) -> None:
        self.start = start
        self.chance = chance
        self.boot = 1
        self.machines: dict[str, SimulatedMachine] = {}
        self._pids = 1000
        self._most_running = most_running

    def check_room(self, comer: "SimulatedMachine") -> None:
        """Raise Violation where a process is one too many, or wants a port that is taken."""
        running = [each for each in self.machines.values() if each.current is not None]
        if len(running) >= self._most_running:
            raise Violation("never more launches than slots", f"{comer.vm_id} is one too many")
        for other in running:
            if both := set(other.ports) & set(comer.ports):
                what = f"{both} of {other.vm_id} and {comer.vm_id}"
                raise Violation("a port is held by one VM", what)

    def new_pid(self) -> int:
        """Return a process id; they come again after a reboot."""
        self._pids += 1
        return self._pids

    def reboot(self) -> None:
        """Begin another boot; the processes are the machines' to lose."""
        self.boot += 1
        self._pids = 1000
        for machine in self.machines.values():
            machine.lose_power()


class SimulatedMachine(FakeMachine):
    """The part of the host that one VM has."""

    def __init__(
        self,
        vm_id: str,
        hardware: Hardware,
        temper: Callable[[], Temper],
        check_intent: Callable[[str, int], None],
    ) -> None:
        super().__init__()
        self.vm_id = vm_id
        self.boot_id = f"boot-{hardware.boot}"
        self.past: dict[tuple[int, type], Observation] = {}
        """The last word of each kind, of each launch."""
        self.ports: tuple[int, ...] = ()
        """Of the launch that was intended last."""
        self.report: Report | None = None
        self._hardware = hardware
        self._temper = temper
        self._check_intent = check_intent

    @property
    def current(self) -> SimulatedQemu | None:
        """The process that is alive, of which there is never more than one."""
        for qemu in self.qemus.values():
            if qemu.exit is None:
                assert isinstance(qemu, SimulatedQemu)
                return qemu
        return None

    def spawn(self, launch: int, uuid: str) -> FakeQemu:
        """Start a process. Raises Violation for what must never be."""
        if launch in self.qemus:
            raise Violation("two processes for one launch", f"{self.vm_id}, launch {launch}")
        if (other := self.current) is not None:
            what = f"{self.vm_id}: launch {launch} beside {other.launch}"
            raise Violation("two launches of one VM alive", what)
        self._check_intent(self.vm_id, launch)
        self._hardware.check_room(self)
        identity = ProcessIdentity(self._hardware.new_pid(), 5000 + launch, self.boot_id)
        temper, chance = self._temper(), self._hardware.chance
        qemu = self.qemus[launch] = SimulatedQemu(launch, uuid, identity, temper, chance)
        self._hardware.start(qemu.run)
        return qemu

    def leave(self, qemu: FakeQemu, cause: ShutdownCause) -> None:
        """Let a process exit in good order; it does so even if the daemon dies meanwhile."""
        assert isinstance(qemu, SimulatedQemu)
        self._hardware.start(qemu.leave, cause)

    def lose_power(self) -> None:
        """Lose every process; called when the hardware has booted again."""
        self.boot_id = f"boot-{self._hardware.boot}"
        for qemu in self.qemus.values():
            qemu.end(ExitEvidence())

    def result_of(self, launch: int) -> ob.ResultCollected | None:
        """Return what the guest of a launch wrote to its results disk."""
        qemu = self.qemus.get(launch)
        return qemu.guest.result if isinstance(qemu, SimulatedQemu) else None

    async def tell_again(self, observation: Observation) -> None:
        """Say something once more to the daemon that attends now, if one does."""
        if self.report is not None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, Killed):
                await self.report(observation)

    def forget_timers(self) -> None:
        """Lose what a dead daemon's timers would have said."""
        self.past = {
            key: said for key, said in self.past.items() if not isinstance(said, ob.TimerFired)
        }

    def remember(self, observation: Observation) -> None:
        """Keep what was said: the same words may be met again, late."""
        self.past[observation.launch, type(observation)] = observation
