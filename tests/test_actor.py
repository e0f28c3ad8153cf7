"""The law: nothing is visible, answered or begun before it is durable; and nobody waits in vain."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.actor import MAILBOX_SIZE, Host, VmActor, VmRef
from supervisor.caller import Caller
from supervisor.cause import Cause
from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, CommandDenied, Delete, DenyReason, Pause, Stop
from supervisor.vm.events import Outcome
from supervisor.vm.evolve import fold
from supervisor.vm.state import AgentStage, Phase, VmState
from tests.fakes import MemoryJournal, SilentHost
from tests.host.fake_host import FakeHost, FakeMachine
from tests.vm.states import COLLECTED, COMPUTING, FROZEN, NOW, RESUMED, SHA256, STATES, after

CALLER = Caller("uid:1000", "local", traceparent="00-trace", command_id="request-1")
BEGINNING = Cause("start", "start")


async def run(ref: VmRef, journal: MemoryJournal, host: Host) -> None:
    await VmActor(ref, journal, host, lambda: NOW).run(BEGINNING)


@asynccontextmanager
async def serving(
    state: VmState, journal: MemoryJournal, host: Host
) -> AsyncIterator[tuple[VmRef, trio.Nursery]]:
    """An actor that has begun, until the block is left."""
    ref = VmRef(state)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, ref, journal, host)
        await wait_all_tasks_blocked()
        yield ref, nursery
        nursery.cancel_scope.cancel()


class Asking:
    """A caller in a task of its own, and what it got."""

    def __init__(self, ref: VmRef, command: Command) -> None:
        self._ref = ref
        self._command = command
        self.state: VmState | None = None
        self.denied: CommandDenied | None = None

    async def run(self) -> None:
        try:
            self.state = await self._ref.ask(self._command, CALLER)
        except CommandDenied as denied:
            self.denied = denied

    @property
    def is_waiting(self) -> bool:
        return self.state is None and self.denied is None


async def test_an_actor_begins_with_what_its_log_left_open() -> None:
    host = SilentHost()
    async with serving(COMPUTING, MemoryJournal(), host):
        assert sorted(host.asked) == ["ArmTimer", "Reattach"]


async def test_nothing_shows_before_it_is_durable() -> None:
    journal, host = MemoryJournal(), SilentHost()
    journal.disk.close()
    async with serving(COMPUTING, journal, host) as (ref, nursery):
        begun = list(host.performed)
        asking = Asking(ref, Pause())
        nursery.start_soon(asking.run)
        await wait_all_tasks_blocked()
        assert asking.is_waiting
        assert ref.state is COMPUTING
        assert host.performed == begun
        journal.disk.open()
        await wait_all_tasks_blocked()
        assert asking.state is ref.state
        assert journal.told == ["PauseOrdered"]
        assert host.asked[len(begun) :] == ["ExecuteQmp"]


async def test_a_denial_is_an_answer_and_leaves_no_trace() -> None:
    journal = MemoryJournal()
    async with serving(COMPUTING, journal, SilentHost()) as (ref, _):
        with pytest.raises(CommandDenied) as denied:
            await ref.ask(Delete(), CALLER)
        assert denied.value.reason is DenyReason.WRONG_PHASE
        assert (await ref.ask(Pause(), CALLER)).phase is Phase.RUNNING
    assert journal.told == ["PauseOrdered"]


async def test_a_full_mailbox_refuses_at_once() -> None:
    journal = MemoryJournal()
    journal.disk.close()
    async with serving(COMPUTING, journal, SilentHost()) as (ref, nursery):
        under_way = [Asking(ref, Stop()) for _ in range(1 + MAILBOX_SIZE)]
        nursery.start_soon(under_way[0].run)
        await wait_all_tasks_blocked()
        for asking in under_way[1:]:
            nursery.start_soon(asking.run)
        await wait_all_tasks_blocked()
        with pytest.raises(CommandDenied) as denied:
            await ref.ask(Stop(), CALLER)
        assert denied.value.reason is DenyReason.MAILBOX_FULL
        journal.disk.open()
        await wait_all_tasks_blocked()
        assert all(asking.state is not None for asking in under_way)


async def test_observations_wait_for_room_and_none_is_lost() -> None:
    journal, host = MemoryJournal(), SilentHost()
    journal.disk.close()
    flips = 2 * MAILBOX_SIZE
    pausing = after(COMPUTING, Pause())
    async with serving(pausing, journal, host) as (ref, nursery):

        async def flip() -> None:
            for _ in range(flips // 2):
                await host.report(FROZEN)
                await host.report(RESUMED)

        nursery.start_soon(flip)
        await wait_all_tasks_blocked()
        journal.disk.open()
        await wait_all_tasks_blocked()
        assert journal.told == ["GuestPaused", "GuestResumed"] * (flips // 2)
        assert ref.state.version == pausing.version + flips


async def test_commands_and_observations_are_taken_in_the_order_in_which_they_came() -> None:
    journal, host = MemoryJournal(), SilentHost()
    journal.disk.close()
    async with serving(COMPUTING, journal, host) as (ref, nursery):
        stages: tuple[Callable[[], Awaitable[object]], ...] = (
            Asking(ref, Pause()).run,
            lambda: host.report(FROZEN),
            Asking(ref, Stop()).run,
            lambda: host.report(ob.ProcessExited(1, ob.ExitEvidence(exit_code=0))),
        )
        for stage in stages:
            nursery.start_soon(stage)
            await wait_all_tasks_blocked()
        journal.disk.open()
        await wait_all_tasks_blocked()
    told = ["PauseOrdered", "GuestPaused", "StopOrdered", "ProcessExited", "VmStopped"]
    assert journal.told == told


async def test_what_a_caller_asked_for_is_done_even_if_it_gives_up() -> None:
    journal = MemoryJournal()
    journal.disk.close()
    async with serving(COMPUTING, journal, SilentHost()) as (ref, nursery):
        with trio.CancelScope() as impatience:
            nursery.start_soon(_cancel_soon, impatience)
            await ref.ask(Pause(), CALLER)
        assert impatience.cancelled_caught
        journal.disk.open()
        await wait_all_tasks_blocked()
        assert journal.told == ["PauseOrdered"]
        assert (await ref.ask(Stop(), CALLER)).phase is Phase.STOPPING


async def _cancel_soon(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_disk_error_kills_the_actor_and_everybody_who_waits_is_told() -> None:
    journal, host = MemoryJournal(), SilentHost()
    journal.disk.close()
    ref = VmRef(COMPUTING)
    askings = [Asking(ref, Pause()) for _ in range(3)]
    crash = OSError("the disk is gone")

    async def lose_the_disk() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, ref, journal, host)
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as callers:
                for asking in askings:
                    callers.start_soon(asking.run)
                await wait_all_tasks_blocked()
                journal.failure = crash
                journal.disk.open()

    with pytest.raises(ExceptionGroup) as crashed:
        await lose_the_disk()
    assert crashed.group_contains(OSError, match="the disk is gone")
    assert [asking.denied.reason for asking in askings if asking.denied] == [
        DenyReason.MAILBOX_FULL
    ] * 3
    assert ref.state is COMPUTING
    assert sorted(map(str, host.cancelled)) == sorted(map(str, host.performed))


async def test_a_bug_in_the_host_kills_the_actor() -> None:
    host = SilentHost()
    host.failure = AssertionError("a bug")
    with pytest.raises(ExceptionGroup) as crashed:
        await run(VmRef(COMPUTING), MemoryJournal(), host)
    assert crashed.group_contains(AssertionError, match="a bug")


async def test_nobody_waits_for_an_actor_that_does_not_run() -> None:
    with pytest.raises(CommandDenied) as denied:
        await VmRef(COMPUTING).ask(Pause(), CALLER)
    assert denied.value.reason is DenyReason.MAILBOX_FULL


async def test_a_cancelled_actor_lets_go_of_its_effects_and_of_its_callers() -> None:
    journal, host = MemoryJournal(), SilentHost()
    journal.disk.close()
    ref = VmRef(COMPUTING)
    asking = Asking(ref, Pause())
    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        nursery.start_soon(run, ref, journal, host)
        await wait_all_tasks_blocked()
        callers.start_soon(asking.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert asking.denied is not None
    assert len(host.cancelled) == len(host.performed) > 0
    with pytest.raises(CommandDenied):
        await ref.ask(Pause(), CALLER)


async def test_deleting_a_vm_ends_its_actor() -> None:
    journal, host = MemoryJournal(), SilentHost()
    ref = VmRef(STATES["stopped"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, ref, journal, host)
        await wait_all_tasks_blocked()
        await ref.ask(Delete(), CALLER)
        await wait_all_tasks_blocked()
        await host.report(ob.FilesRemoved(1))
    assert ref.state.phase is Phase.DELETED
    assert journal.told == ["DeleteOrdered", "VmDeleted"]


async def test_every_event_names_what_led_to_it() -> None:
    journal, host = MemoryJournal(), SilentHost()
    async with serving(COMPUTING, journal, host) as (ref, _):
        await ref.ask(Pause(), CALLER)
        await wait_all_tasks_blocked()
        await host.report(FROZEN)
        await wait_all_tasks_blocked()
    assert journal.causes == [
        Cause("request-1", "request-1", "uid:1000", "00-trace"),
        Cause("event-0", "request-1", traceparent="00-trace"),
    ]


async def test_a_computation_goes_from_its_submission_to_its_result(
    autojump_clock: MockClock,
) -> None:
    machine = FakeMachine()
    machine.artifacts.add(SHA256)
    machine.result = COLLECTED
    host = FakeHost(machine, now_ms=lambda: NOW)
    journal = MemoryJournal()
    async with serving(STATES["defined"], journal, host) as (ref, _):
        guest = machine.qemus[1]
        await guest.say(ob.AgentReady(1, seq=1), ob.AgentStarted(1, seq=2))
        await wait_all_tasks_blocked()
        assert ref.state.current.agent is AgentStage.STARTED
        await guest.say(ob.AgentFinished(1, seq=3, exit_code=0, length=2048))
        await wait_all_tasks_blocked()
        assert (ref.state.phase, ref.state.outcome) == (Phase.STOPPED, Outcome.COMPLETED)
    assert fold(STATES["defined"], journal.events, NOW) == ref.state
