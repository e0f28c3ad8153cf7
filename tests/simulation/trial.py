"""One seed: a storm over several lives of the daemon, then a calm in which all comes to rest."""

import traceback
from collections import Counter
from collections.abc import Callable
from random import Random

import msgspec
import trio
from chronovisor_crash.simulated_disk import PowerCut

from eventlog import EventLog, EventLogError, Scan
from supervisor.fleet import Fleet
from supervisor.replay import Replay, World
from supervisor.service import Service
from supervisor.vm.commands import Delete
from supervisor.vm.events import Outcome
from supervisor.vm.state import ENDED, VmState
from tests.host.fake_host import Attention
from tests.simulation.clients import MANIFESTS, UNKNOWN, Clients
from tests.simulation.disk import Space
from tests.simulation.life import Life, Use
from tests.simulation.mutants import NONE, Mutant
from tests.simulation.scheduler import run_seeded
from tests.simulation.universe import Met, Power, Trace, Universe
from tests.simulation.violation import Violation
from tests.simulation.watch import Watch
from tests.simulation.weather import Weather

LIVES_MAX = 40
"""Of one seed; what cannot come to rest in so many will not."""

REST_S = 900.0
"""In the calm: every deadline of a manifest, the whole stop ladder and the longest silence."""

DIES_EARLY = 0.1
"""How many daemons die while they open the log or recover; of each kind."""

LOOK_S = 7.0
SURVIVAL = (0.0, 0.3, 0.7, 1.0)
"""Odds of each unsynced piece when the power is lost."""


class Finding(msgspec.Struct, frozen=True):
    """What one seed came to; ``invariant`` is empty where all of them held."""

    seed: int
    steps: int
    crashes: int
    lives: int
    invariant: str
    what: str
    met: Counter[Met]
    ignored: Counter[Met]


def try_seed(
    seed: int,
    mutant: Mutant = NONE,
    *,
    skipped: frozenset[int] = frozenset(),
    trace: Trace | None = None,
) -> Finding:
    """Run the case that a seed stands for, without the actions that are ``skipped``."""

    async def main() -> Finding:
        async with trio.open_nursery() as nursery:
            universe = Universe(seed, nursery, trace)
            broken = await _broken(Trial(universe, mutant, seed, skipped))
            nursery.cancel_scope.cancel()
        return Finding(
            seed=seed,
            steps=universe.steps + universe.crashes,
            crashes=universe.crashes,
            lives=universe.lives,
            invariant=broken.invariant if broken else "",
            what=broken.what if broken else "",
            met=universe.met,
            ignored=universe.ignored,
        )

    return run_seeded(seed, main)


async def _broken(trial: "Trial") -> Violation | None:
    try:
        await trial.run()
    except Violation as broken:
        return broken
    except BaseException as error:
        return _violation_in(error)
    return None


def _violation_in(error: BaseException) -> Violation:
    """Return the broken invariant in a group of exceptions, or what else nobody expects."""
    found = error.split(Violation)[0] if isinstance(error, BaseExceptionGroup) else None
    first: BaseException = found or error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, Violation):
        return first
    if not isinstance(first, Exception):
        raise error
    where = "".join(traceback.format_exception(first))
    return Violation("the daemon ends only as it may", where)


class Trial:
    """The lives of one seed."""

    def __init__(
        self, universe: Universe, mutant: Mutant, seed: int, skipped: frozenset[int]
    ) -> None:
        self._universe = universe
        self._mutant = mutant
        self._core = mutant.core()
        self._weather = Weather(universe, seed, skipped)
        self._chance = Random(~seed)
        universe.artifacts |= {each.algorithm.sha256 for each in MANIFESTS} - {UNKNOWN}

    async def run(self) -> None:
        """Live through the storm and the calm. Raises Violation."""
        while not self._weather.is_over:
            await self._live(self._weather.rage)
        self._clear_up()
        await self._live(self._rest)
        # A last start: what came to rest must be found so.
        await self._live(self._leave)

    async def _live(self, use: Use) -> None:
        universe = self._universe
        universe.lives += 1
        if universe.lives > LIVES_MAX:
            raise Violation("the daemon starts", f"{LIVES_MAX} lives ended before it could rest")
        life = Life(universe, Watch(universe, self._core).core(), self._mutant)
        universe.note(f"life {universe.lives} begins")
        if universe.storm:
            self._threaten(life)
        try:
            await life.run(use)
        except PowerCut:
            life.die("while it opened its log")
        except (EventLogError, OSError) as error:
            self._refused(life, error)
        if life.dead.is_set():
            universe.crashes += 1
        self._clean_up()

    def _threaten(self, life: Life) -> None:
        """Have some daemons die while they recover."""
        chance = self._chance.random()
        if chance < DIES_EARLY:
            life.die_in(self._chance.randint(1, 150))
        elif chance < 2 * DIES_EARLY:
            self._universe.platter.disk.cut_at(self._chance.randint(1, 30))

    def _refused(self, life: Life, error: Exception) -> None:
        if not isinstance(error, OSError):
            raise Violation("a log that was only interrupted opens again", repr(error))
        life.die(f"it cannot open its log: {error}")
        self._universe.platter.space = Space.LEFT  # an operator makes room

    def _clean_up(self) -> None:
        universe = self._universe
        disk = universe.platter.disk
        if universe.power is Power.LOST:
            universe.power = Power.ON
            disk.lose_power(self._chance, self._chance.choice(SURVIVAL))
            universe.reboot()
        else:
            disk.kill()
        universe.platter.fail_in = 0

    def _clear_up(self) -> None:
        universe = self._universe
        universe.note("the storm is over")
        universe.storm = 0
        universe.platter.space = Space.LEFT
        for machine in universe.machines.values():
            if machine.current is not None:
                machine.current.attention = Attention.AWAKE

    async def _rest(self, life: Life, fleet: Fleet, service: Service, log: EventLog) -> None:
        def waiting() -> list[str]:
            return [each.vm_id for each in fleet.registry.states() if each.phase not in ENDED]

        if left := await _wait_until_none(waiting):
            what = "; ".join(f"{vm_id} is {service.get(vm_id).phase.value}" for vm_id in left)
            raise Violation("every VM comes to rest", what)
        if self._chance.random() < 0.5:
            await self._delete_all(life, fleet, service)
        self._look(fleet)
        await fleet.leave()

    async def _delete_all(self, life: Life, fleet: Fleet, service: Service) -> None:
        async with trio.open_nursery() as nursery:
            clients = Clients(life, service, nursery)

            def left() -> list[str]:
                known = clients.known()
                for vm_id in known:
                    clients.command(vm_id, Delete())
                return known

            if vm_ids := await _wait_until_none(left):
                raise Violation("what was deleted is gone", ", ".join(vm_ids))

    async def _leave(self, life: Life, fleet: Fleet, service: Service, log: EventLog) -> None:
        await trio.sleep(LOOK_S)
        self._look(fleet)
        self._fold_again()
        for machine in self._universe.machines.values():
            if machine.current is not None:
                raise Violation("what has ended has no process", machine.vm_id)
        await fleet.leave()

    def _fold_again(self) -> None:
        """Fold from the snapshot and from the beginning: the state hashes are the same."""
        universe = self._universe
        assert universe.snapshot is not None
        bookmark, encoded = universe.snapshot
        later = Replay(World.decoded(encoded), bookmark.position)
        whole = Replay()
        for start, replay in ((bookmark, later), (None, whole)):
            for commit in Scan(universe.platter, start).commits():
                for record in commit:
                    replay.take(record)
        if later.world.digest() != whole.world.digest():
            what = f"from position {bookmark.position} on it is another state"
            raise Violation("replay equals live", what)

    def _look(self, fleet: Fleet) -> None:
        for state in fleet.registry.states():
            if state.phase not in ENDED:
                raise Violation("every VM comes to rest", f"{state.vm_id} is {state.phase.value}")
            if state.outcome is Outcome.COMPLETED:
                self._check_result(state)
            self._universe.ledger.state_shown(state)

    def _check_result(self, state: VmState) -> None:
        result = self._universe.machines[state.vm_id].result_of(state.launch_number)
        if result is None or state.result is None or (state.exit_code, result.exit_code) != (0, 0):
            what = f"{state.vm_id}: {state.result}, and on its disk is {result}"
            raise Violation("what is completed has its result", what)


async def _wait_until_none(waiting: Callable[[], list[str]]) -> list[str]:
    """Look now and then; return whom it would be in vain to wait for any longer."""
    give_up = trio.current_time() + REST_S
    while left := waiting():
        if trio.current_time() > give_up:
            return left
        await trio.sleep(LOOK_S)
    return []
