"""One life of the daemon: the real fleet over a simulated log and host, until it is killed."""

import atexit
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from random import Random

import trio

from eventlog import Bookmark, CaughtUp, EventLog, LogEnded, LogOptions, Scan
from eventlog.committer import OnDurable, OnFailure
from eventlog.journal import Journal, open_journal
from eventlog.notary import Notary
from eventlog.note import Signer
from supervisor.actor import Core
from supervisor.admission.events import DaemonStarted
from supervisor.artifacts.store import ArtifactStore
from supervisor.checkpoints import Checkpoints
from supervisor.clock import Clock
from supervisor.fleet import Fleet, Surroundings
from supervisor.host.platform import Unavailable
from supervisor.replay import Replay, World, load_vm
from supervisor.service import Service
from supervisor.supervision import TooManyRestarts
from supervisor.vm.effects import Effect
from supervisor.vm.state import VmState
from tests.simulation.disk import SEGMENT_BYTES, SimulatedCommitter
from tests.simulation.host import SimulatedHost
from tests.simulation.mutants import Mutant
from tests.simulation.universe import Universe
from tests.simulation.violation import Killed, Violation

DAWDLES = 0.4
DAWDLE_MAX = 3
"""How often a task lets others run between two things that it does, and for how many rounds."""

WHOLE = 0.3
"""How many daemons fold the log from its beginning although there is a snapshot."""

SLOW = 0.06
SLOW_S = 8.0
"""How often a thing takes long, and at most how long: as long as the rungs of the stop ladder."""


class Countdown(trio.abc.Instrument):
    """Kills the daemon before the n-th step of any task: at every await there is."""

    def __init__(self, steps: int, die: Callable[[], None]) -> None:
        self._left = steps
        self._die = die

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count."""
        self._left -= 1
        if self._left == 0:
            self._die()


ENDS = (Killed, LogEnded, TooManyRestarts)
"""What a life ends of; whatever else comes out of it is a finding."""

Use = Callable[["Life", Fleet, Service, EventLog], Awaitable[None]]
"""What is done with a daemon that serves."""


class Life:
    """One daemon. Once it is dead, nothing that it does reaches the world."""

    def __init__(self, universe: Universe, core: Core, mutant: Mutant) -> None:
        self.universe = universe
        self.dead = trio.Event()
        self.why = ""
        self._core = core
        self._mutant = mutant
        self._chance: Random = universe.chance
        self._clock = Clock(universe.clock.now_ns, universe.clock.steady_ns)
        self._scope = trio.CancelScope()
        self._countdown: Countdown | None = None
        self._fleet: Fleet | None = None
        self._committer: SimulatedCommitter | None = None

    def die(self, why: str) -> None:
        """End at once, as kill -9 does."""
        if not self.dead.is_set():
            self.why = why
            self.universe.note(f"the daemon dies: {why}")
            self.dead.set()
            self._scope.cancel()
            if self._committer is not None:
                self._committer.abandon()

    def die_in(self, steps: int) -> None:
        """End before a step that is still to come."""
        if self._countdown is None:
            why = "between two awaits"
            self._countdown = Countdown(steps, partial(self.die, why))
            trio.lowlevel.add_instrument(self._countdown)

    def check(self) -> None:
        """Raise Killed if the daemon is dead."""
        if self.dead.is_set():
            raise Killed

    async def dawdle(self) -> None:
        """Let others run, for a few rounds or for seconds."""
        chance = self._chance.random()
        if chance < SLOW * self.universe.storm:
            await trio.sleep(self._chance.uniform(0, SLOW_S))
        elif chance < DAWDLES:
            for _ in range(self._chance.randint(1, DAWDLE_MAX)):
                await trio.lowlevel.checkpoint()

    def misfortune(self, vm_id: str, effect: Effect) -> str:
        """Return why an effect fails, if it does."""
        return self.universe.misfortune(vm_id, effect)

    async def run(self, use: Use) -> None:
        """Open the log, recover, and serve until death. ``use`` is what clients do meanwhile."""
        try:
            with self._scope:
                await self._run(use)
        except BaseExceptionGroup as group:
            ended, rest = group.split(lambda error: isinstance(error, ENDS))
            if rest is not None:
                raise rest from None
            self.die(f"it gives up: {ended}")
        except ENDS as end:
            self.die(f"it gives up: {end}")
        finally:
            if self._countdown is not None:
                trio.lowlevel.remove_instrument(self._countdown)
            if self._fleet is not None:
                # What it held in memory when it died was durable, whoever had seen it.
                for state in self._fleet.registry.states():
                    self.universe.ledger.state_shown(state)

    async def _run(self, use: Use) -> None:
        universe = self.universe
        universe.begin_life()
        snapshot = self._snapshot()
        options = LogOptions("simulated", SEGMENT_BYTES, self._clock.ns)
        journal, recovered = open_journal(
            universe.platter,
            options.node_id,
            options.segment_bytes,
            options.clock,
            snapshot[0] if snapshot else None,
        )
        self._clock.not_before(recovered.recorded_at)
        log = EventLog(journal, recovered, options, self._commit_for)
        assert self._committer is not None
        async with trio.open_nursery() as writing:
            writing.start_soon(self._committer.run)
            await log.record_repairs(recovered.unlogged)
            await self._serve(log, self._fold(snapshot), use)
            await log.close()
            writing.cancel_scope.cancel()
        journal.close()

    def _commit_for(
        self, journal: Journal, on_durable: OnDurable, on_failure: OnFailure
    ) -> SimulatedCommitter:
        self._committer = self._mutant.committer(journal, on_durable, on_failure, self)
        return self._committer

    async def _serve(self, log: EventLog, replay: Replay, use: Use) -> None:
        async with trio.open_nursery() as nursery:
            fleet = Fleet(log, replay.world, self._surroundings(log, replay), nursery)
            self.universe.fleet = self._fleet = fleet
            started = DaemonStarted("simulated", 1, self.universe.boot_id, "7.2.0")
            await fleet.recover(started, replay.world)
            nursery.start_soon(self._follow, log)
            await use(self, fleet, _service(log, fleet), log)
            nursery.cancel_scope.cancel()

    def _snapshot(self) -> tuple[Bookmark, World] | None:
        """Return an earlier fold, where there is one and chance has it used."""
        if self.universe.snapshot is None or self._chance.random() < WHOLE:
            return None
        bookmark, encoded = self.universe.snapshot
        world = World.decoded(encoded)
        return (bookmark, world) if self.universe.ledger.may_begin_from(world) else None

    def _fold(self, snapshot: tuple[Bookmark, World] | None) -> Replay:
        bookmark, world = snapshot or (None, None)
        replay = Replay(world, bookmark.position if bookmark else 0)
        scan = Scan(self.universe.platter, bookmark)
        self.universe.ledger.audit(
            replay, (record for commit in scan.commits() for record in commit)
        )
        if (found := scan.bookmark()) is not None:
            self.universe.snapshot = found, replay.world.encoded()
        return replay

    def _surroundings(self, log: EventLog, replay: Replay) -> Surroundings:
        before, position = dict(replay.world.vms), replay.position

        async def load(vm_id: str) -> VmState:
            if vm_id not in self.universe.crashing:
                raise Violation("no actor crashes by itself", vm_id)
            self.universe.crashing.remove(vm_id)
            state = await load_vm(log, vm_id, before.get(vm_id), position)
            assert state is not None
            return state

        return Surroundings(
            host=self._host,
            check_inputs=self.universe.check_inputs,
            load=load,
            clock_ms=self._clock.ms,
            core=self._core,
            capacity=self._mutant.capacity,
            can_listen=self.universe.is_free,
            reservations=self._mutant.reservations,
        )

    def _host(self, vm_id: str) -> SimulatedHost:
        machine = self.universe.machine(vm_id)
        return SimulatedHost(machine, self, now_ms=self._clock.ms)

    async def _follow(self, log: EventLog) -> None:
        ledger = self.universe.ledger
        async for item in log.subscribe(ledger.cursor):
            if self.dead.is_set():
                return
            if not isinstance(item, CaughtUp):
                ledger.record_seen(item)


def _service(log: EventLog, fleet: Fleet) -> Service:
    checkpoints, store, directory = _offices()
    queue_position = fleet.reservations.queue_position
    registry, admission = fleet.registry, fleet.admission
    return Service(
        log, checkpoints, registry, admission, store, directory, queue_position, _platform
    )


async def _platform() -> Unavailable:
    return Unavailable("a simulation has no processor")


@cache
def _offices() -> tuple[Checkpoints, ArtifactStore, Path]:
    """What a service has beside, and no simulation asks for."""
    name = tempfile.mkdtemp(prefix="chronovisor-simulation-")
    atexit.register(shutil.rmtree, name, ignore_errors=True)
    directory = Path(name)
    signer = Signer.generate("simulated")
    return Checkpoints(Notary(directory, signer)), ArtifactStore(directory), directory
