"""Whole lives against a model of the host: with faults, in any order, and always to an end."""

from collections.abc import Sequence
from random import Random

from hypothesis import event, given
from hypothesis import strategies as st

from supervisor.vm.commands import Command, Delete, Kill, Pause, Reset, Resume, Start, Stop
from supervisor.vm.events import Outcome
from supervisor.vm.state import ENDED, Phase
from tests.vm.life import Life
from tests.vm.states import MANIFEST, RESTARTED
from tests.vm.world import World

STEPS_TO_AN_END = 500
"""Ten times what the longest life needs once nothing is broken any more."""

ORDERS = (Pause(), Resume(), Reset(), Pause(), Resume(), Start(), Stop(), Kill(), Delete())

seeds = st.integers(0, 2**32).map(Random)


def let_it_end(world: World) -> None:
    """Go on without further faults until the VM has ended and nothing is on its way."""
    for _ in range(STEPS_TO_AN_END):
        if world.pending:
            world.deliver()
        elif world.life.state.phase in ENDED:
            return
        else:
            assert world.pass_time(), f"nothing will ever happen again: {world.life.state}"
    raise AssertionError(f"no end in sight: {world.life.state}")


def stir(world: World, random: Random, orders: Sequence[Command] = ORDERS) -> None:
    """Do one of the things that may happen at any time."""
    match random.choices(("deliver", "time", "order", "fault", "crash"), (12, 4, 2, 1, 1))[0]:
        case "deliver" if world.pending:
            world.deliver()
        case "time":
            world.pass_time()
        case "order":
            world.meet(random.choice(orders))
        case "fault":
            world.break_something()
        case "crash":
            world.kill_daemon()


@given(seeds)
def test_every_vm_reaches_an_end_once_faults_stop(random: Random) -> None:
    world = World(random, Life(random.choice([MANIFEST, RESTARTED])))
    for _ in range(random.randrange(60)):
        stir(world, random)
    let_it_end(world)
    state = world.life.state
    event(str(state.outcome))
    assert world.current is None, "the VM has ended and its QEMU lives on"
    assert state.outcome is not None
    assert world.life.replayed() == state


@given(seeds)
def test_a_daemon_that_only_crashes_loses_no_computation(random: Random) -> None:
    world = World(random, Life(random.choice([MANIFEST, RESTARTED])))
    for _ in range(random.randrange(40)):
        if random.randrange(4) == 0:
            world.kill_daemon()
        elif world.pending:
            world.deliver()
        else:
            world.pass_time()
    let_it_end(world)
    # A guest without an agent cannot compute; every other one does, whatever dies around it.
    assert world.life.state.outcome in (Outcome.COMPLETED, Outcome.LAUNCH_DEADLINE)
    if world.life.state.outcome is Outcome.COMPLETED:
        assert world.life.state.result is not None


@given(seeds)
def test_a_vm_that_is_told_to_stop_never_runs_again(random: Random) -> None:
    world = World(random, Life(random.choice([MANIFEST, RESTARTED])))
    for _ in range(random.randrange(40)):
        stir(world, random)
    world.meet(Stop())
    orders = [order for order in ORDERS if not isinstance(order, Start)]
    for _ in range(random.randrange(40)):
        stir(world, random, orders)
        assert world.life.state.phase in {Phase.STOPPING, *ENDED}
    let_it_end(world)


@given(seeds)
def test_a_vm_that_ended_can_be_deleted(random: Random) -> None:
    world = World(random, Life(random.choice([MANIFEST, RESTARTED])))
    for _ in range(random.randrange(40)):
        stir(world, random)
    let_it_end(world)
    if world.life.state.phase is not Phase.DELETED:
        world.meet(Delete())
        world.kill_daemon()
        while world.pending:
            world.deliver()
    assert world.life.state.phase is Phase.DELETED
