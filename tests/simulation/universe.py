"""Everything that outlives a daemon in one simulation, and what is counted."""

from collections import Counter
from collections.abc import Callable
from enum import Enum
from random import Random

import trio
from chronovisor_crash.simulated_disk import SimulatedDisk

from eventlog import Bookmark
from supervisor.caller import Caller
from supervisor.fleet import Fleet
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.effects import Effect
from supervisor.vm.spec import Manifest
from supervisor.vm.state import Phase
from tests.simulation.capacity import CAPACITY
from tests.simulation.disk import Platter
from tests.simulation.guest import SOUND, Temper
from tests.simulation.ledger import Ledger
from tests.simulation.machine import Hardware, SimulatedMachine
from tests.simulation.scheduler import WallClock
from tests.simulation.violation import Violation

MISFORTUNE = 0.04
"""How many effects fail while the storm lasts."""

BUG = 0.003
"""How many crash their actor."""

Met = tuple[Phase, type]
Trace = Callable[[str], None]


class Bug(Exception):
    """What makes an actor crash, on purpose."""


class Power(Enum):
    """Whether the host lost its power with the daemon that died last."""

    ON = "on"
    LOST = "lost"


class Universe:
    """The host, the disk, the clock, and the promises that were made."""

    def __init__(self, seed: int, nursery: trio.Nursery, trace: Trace | None) -> None:
        self.chance = Random(seed)
        self.clock = WallClock()
        self.platter = Platter(SimulatedDisk())
        self.ledger = Ledger()
        self.hardware = Hardware(nursery.start_soon, self.chance, CAPACITY.max_running)
        self.machines = self.hardware.machines
        self.fleet: Fleet | None = None
        """Of the present life."""
        self.crashing: set[str] = set()
        """VMs whose actor is to be restarted in this life."""
        self.snapshot: tuple[Bookmark, bytes] | None = None
        self.storm = 1
        """1 while things go wrong, 0 afterwards: it weighs every chance of a misfortune."""
        self.steps = self.crashes = self.lives = 0
        self.met: Counter[Met] = Counter()
        """Messages that were judged, by the phase that they met; ``ignored``: of old launches."""
        self.ignored: Counter[Met] = Counter()
        self.power = Power.ON
        self.artifacts: set[str] = set()
        self._requests = 0
        self._trace = trace

    @property
    def boot_id(self) -> str:
        """The kernel's id of this boot."""
        return f"boot-{self.hardware.boot}"

    def new_command_id(self) -> str:
        """Return an id for a request."""
        self._requests += 1
        return f"request-{self._requests}"

    @property
    def traced(self) -> bool:
        """Whether anybody reads the trace."""
        return self._trace is not None

    def note(self, what: str) -> None:
        """Write a line of the trace."""
        if self._trace is not None:
            self._trace(f"{trio.current_time():10.3f} {what}")

    def machine(self, vm_id: str) -> SimulatedMachine:
        """Return a VM's part of the host."""
        if vm_id not in self.machines:
            machine = SimulatedMachine(vm_id, self.hardware, self._temper, self._check_intent)
            machine.artifacts = self.artifacts
            self.machines[vm_id] = machine
        return self.machines[vm_id]

    def _check_intent(self, vm_id: str, launch: int) -> None:
        """Raise Violation unless the log says already that this launch is to be."""
        assert self.fleet is not None
        state = self.fleet.registry.get(vm_id)
        if state.launch_number != launch or not state.has_process:
            what = f"{vm_id}: launch {launch}, and the log has {state.launch_number}"
            raise Violation("an intent is durable before anything is spawned", what)

    def reboot(self) -> None:
        """Lose all processes."""
        self.hardware.reboot()

    def begin_life(self) -> None:
        """Know that another daemon begins: nothing is left of what the one before held."""
        self.crashing.clear()
        for machine in self.machines.values():
            machine.forget_timers()

    def misfortune(self, vm_id: str, effect: Effect) -> str:
        """Return why an effect fails, if it does; or crash the actor."""
        if self.chance.random() < BUG * self.storm:
            self.note(f"{vm_id}: its actor crashes")
            self.crashing.add(vm_id)
            raise Bug
        unlucky = self.chance.random() < MISFORTUNE * self.storm
        return f"{type(effect).__name__} failed by chance" if unlucky else ""

    def is_free(self, port: int) -> bool:
        """Whether nobody listens on a host port; QEMU does on those of its forwards."""
        return not any(
            machine.current is not None and port in machine.ports
            for machine in self.machines.values()
        )

    def check_inputs(self, manifest: Manifest, _caller: Caller) -> None:
        """Refuse a computation whose algorithm was never uploaded."""
        if manifest.algorithm.sha256 not in self.artifacts:
            raise CommandDenied(DenyReason.ARTIFACT_UNKNOWN, "algorithm.sha256: unknown")

    def _temper(self) -> Temper:
        return self.chance.choice(list(Temper) if self.storm else SOUND)
