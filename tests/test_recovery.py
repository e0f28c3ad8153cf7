"""The first attempts of a life: bounded, each with its turn, and none delayed by another."""

import pytest
import trio
import trio.testing

from supervisor.actor import Report
from supervisor.admission.events import VmsRecovered
from supervisor.recovery import PARALLEL, TURN_S, Recovery
from supervisor.vm.effects import Effect, QueryRunState, Reattach
from supervisor.vm.observations import AgentReady, NeverSpawned, Observation, ProcessSilent
from tests.slow_host import SlowHost
from tests.vm.states import PROCESS

REATTACH = Reattach(1, "/vms/vm/launch-1", "uuid", PROCESS, 4096)
STUCK_S = 60
"""A turn that is never given ends a test here, and not at the limit of the whole suite."""


async def ignore(observation: Observation) -> None:
    await trio.lowlevel.checkpoint()


async def recovered(hosts: dict[str, SlowHost], parallel: int = PARALLEL) -> VmsRecovered:
    recovery = Recovery(hosts, parallel)
    with trio.fail_after(STUCK_S):
        async with trio.open_nursery() as nursery:
            for vm_id, host in hosts.items():
                nursery.start_soon(recovery.guard(vm_id, host).perform, REATTACH, ignore)
            found = await recovery.run()
    assert recovery.missing == 0
    return found


async def test_so_many_are_looked_for_at_once_and_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hosts = {f"vm-{number}": SlowHost(0.5) for number in range(6)}
    started = trio.current_time()
    found = await recovered(hosts, parallel=2)
    began = sorted(host.began[0] - started for host in hosts.values())
    assert began == pytest.approx([0, 0, 0.5, 0.5, 1, 1])
    assert found == VmsRecovered(adopted=6, silent=0, gone=0, took_ms=1500)


@pytest.mark.fault("one-blocks-all")
async def test_those_that_do_not_answer_pass_their_turn_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wedged = {f"wedged-{number}": SlowHost(15, ProcessSilent(1, "no")) for number in range(2)}
    well = {f"well-{number}": SlowHost(0.05) for number in range(3)}
    started = trio.current_time()
    found = await recovered({**wedged, **well}, parallel=2)
    assert all(host.began[0] - started <= TURN_S + 0.1 for host in well.values())
    assert (found.adopted, found.silent) == (3, 2)


async def test_what_is_found_gone_is_counted_apart(autojump_clock: trio.testing.MockClock) -> None:
    found = await recovered({"vm": SlowHost(0, NeverSpawned(1))})
    assert (found.adopted, found.silent, found.gone) == (0, 0, 1)


async def test_a_guest_that_is_heard_before_its_qemu_is_proven_ends_no_search(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Chatty(SlowHost):
        async def perform(self, effect: Effect, report: Report) -> None:
            await report(AgentReady(1, 1))
            await super().perform(effect, report)

    found = await recovered({"vm": Chatty(0.5)})
    assert (found.adopted, found.silent, found.gone) == (1, 0, 0)


async def test_a_vm_whose_actor_crashed_meanwhile_gets_another_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recovery = Recovery(["vm"], parallel=1)
    with trio.fail_after(STUCK_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recovery.run)
            with trio.move_on_after(0.1):  # the crash
                await recovery.guard("vm", SlowHost(1)).perform(REATTACH, ignore)
            assert recovery.missing == 1
            await recovery.guard("vm", SlowHost(0)).perform(REATTACH, ignore)
            assert recovery.missing == 0


async def test_other_work_and_later_attempts_wait_for_no_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recovery, host = Recovery(["vm"]), SlowHost(0)
    guarded = recovery.guard("vm", host)
    with trio.fail_after(STUCK_S):
        await guarded.perform(QueryRunState(1), ignore)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(recovery.run)
            await guarded.perform(REATTACH, ignore)
        await guarded.perform(REATTACH, ignore)
    assert len(host.began) == 3
    assert recovery.guard("new", host) is host


async def test_nothing_to_look_for_is_nothing_to_wait_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with trio.fail_after(STUCK_S):
        assert (await Recovery([]).run()).adopted == 0
