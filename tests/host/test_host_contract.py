"""What every Host keeps to: the same suite runs on the fake and on a real QEMU."""

import os
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.effects import ProcessSignal, QmpCommand, Reattach, SpawnQemu
from supervisor.vm.observations import ProcessIdentity, RunState, ShutdownCause, TimerKind
from supervisor.vm.spec import Algorithm
from tests.host.story import Story, life_of
from tests.host.worlds import PATIENT, RealWorld, World

SOON_S = 0.5
"""How long that is waited for which cannot come."""
NO_GREETING = msgspec.structs.replace(PATIENT, greeting_s=SOON_S)
NO_ANSWER = msgspec.structs.replace(PATIENT, command_s=SOON_S)
NO_EXIT = msgspec.structs.replace(PATIENT, exit_s=SOON_S)
ANOTHER_UUID = "00000000-0000-4000-8000-000000000000"


async def prepared(story: Story, world: World) -> SpawnQemu:
    story.do(fx.PrepareLaunch(1, await world.manifest()))
    return world.spawn_order(await story.until(ob.LaunchPrepared))


async def running(story: Story, world: World) -> SpawnQemu:
    order = await prepared(story, world)
    story.do(order)
    await story.until(ob.QmpReady)
    return order


def process_of(story: Story) -> ProcessIdentity:
    return next(seen.process for seen in story.seen if isinstance(seen, ob.QemuSpawned))


def reattach(order: SpawnQemu, process: ProcessIdentity | None) -> Reattach:
    return Reattach(order.launch, order.directory, order.uuid, process, order.log_bytes)


async def test_a_launch_is_prepared_twice_with_the_same_images(world: World) -> None:
    async with life_of(world.host()) as story:
        order = fx.PrepareLaunch(1, await world.manifest())
        story.do(order)
        first = await story.until(ob.LaunchPrepared)
        story.do(order)
        assert await story.until(ob.LaunchPrepared) == first


async def test_a_preparation_that_was_cut_off_is_made_anew(world: World) -> None:
    manifest = await world.manifest()
    async with life_of(world.host()) as story:
        story.do(fx.PrepareLaunch(1, manifest))
        await trio.lowlevel.checkpoint()
    async with life_of(world.host()) as successor:
        await running(successor, world)


async def test_a_launch_of_an_unknown_artifact_is_impossible(world: World) -> None:
    async with life_of(world.host()) as story:
        unknown = msgspec.structs.replace(await world.manifest(), algorithm=Algorithm("f" * 64))
        story.do(fx.PrepareLaunch(1, unknown))
        assert "f" * 64 in (await story.until(ob.LaunchImpossible)).detail


async def test_a_spawned_qemu_is_named_before_it_talks(world: World) -> None:
    async with life_of(world.host()) as story:
        await running(story, world)
        assert story.kinds() == ["LaunchPrepared", "QemuSpawned", "QmpReady"]
        assert process_of(story).pid > 1


async def test_a_program_that_is_missing_cannot_be_spawned(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await prepared(story, world)
        missing = msgspec.structs.replace(order, argv=("/nonexistent/qemu", *order.argv[1:]))
        story.do(missing)
        assert "/nonexistent/qemu" in (await story.until(ob.SpawnFailed)).detail


async def test_a_launch_that_lives_is_not_spawned_again(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
        story.do(order)
        assert "lock" in (await story.until(ob.SpawnFailed)).detail
        story.do(fx.QueryRunState(1))
        await story.until(ob.RunStateObserved)


async def test_a_qemu_that_dies_at_once_leaves_its_status_and_last_words(world: World) -> None:
    async with life_of(world.host()) as story:
        story.do(fx.PrepareLaunch(1, await world.manifest()))
        story.do(world.doomed_spawn_order(await story.until(ob.LaunchPrepared)))
        evidence = (await story.until(ob.ProcessExited)).evidence
        assert evidence.exit_code == 1
        assert "memory" in evidence.stderr
        assert story.kinds() == ["LaunchPrepared", "QemuSpawned", "ProcessExited"]


async def test_cont_and_stop_are_answered_by_what_the_guest_does(world: World) -> None:
    async with life_of(world.host()) as story:
        await running(story, world)
        story.do(fx.ExecuteQmp(1, QmpCommand.CONT))
        await story.until(ob.GuestResumed)
        story.do(fx.ExecuteQmp(1, QmpCommand.STOP))
        await story.until(ob.GuestStopped)
        story.do(fx.QueryRunState(1))
        assert (await story.until(ob.RunStateObserved)).run_state is RunState.PAUSED


async def test_a_reset_is_no_shutdown(world: World) -> None:
    async with life_of(world.host()) as story:
        await running(story, world)
        story.do(fx.ExecuteQmp(1, QmpCommand.RESET))
        assert not (await story.until(ob.GuestWasReset)).by_guest
        story.do(fx.QueryRunState(1))
        await story.until(ob.RunStateObserved)
        assert "GuestShutDown" not in story.kinds()


async def test_quit_ends_with_the_cause_and_then_the_exit(world: World) -> None:
    async with life_of(world.host()) as story:
        await running(story, world)
        story.do(fx.ExecuteQmp(1, QmpCommand.QUIT))
        exited = await story.until(ob.ProcessExited)
        assert exited.evidence.exit_code == 0
        assert story.seen[-2:] == [ob.GuestShutDown(1, ShutdownCause.HOST_QUIT), exited]


async def test_sigterm_ends_with_the_cause_and_then_the_exit(world: World) -> None:
    async with life_of(world.host()) as story:
        await running(story, world)
        story.do(fx.SignalProcess(1, ProcessSignal.TERM))
        exited = await story.until(ob.ProcessExited)
        assert exited.evidence.exit_code == 0
        assert story.seen[-2:] == [ob.GuestShutDown(1, ShutdownCause.HOST_SIGNAL), exited]


async def test_sigkill_leaves_the_signal_as_evidence(world: World) -> None:
    async with life_of(world.host()) as story:
        await running(story, world)
        story.do(fx.SignalProcess(1, ProcessSignal.KILL))
        exited = await story.until(ob.ProcessExited)
        assert (exited.evidence.exit_code, exited.evidence.signal) == (None, 9)
        assert story.kinds()[-2:] == ["QmpReady", "ProcessExited"]


async def test_orders_to_nobody_are_answered_or_harmless(world: World) -> None:
    async with life_of(world.host()) as story:
        story.do(fx.ExecuteQmp(1, QmpCommand.CONT))
        assert (await story.until(ob.QmpCommandFailed)).command == "cont"
        story.do(fx.QueryRunState(1))
        assert (await story.until(ob.QmpCommandFailed)).command == "query-status"
        for harmless in (
            fx.StartComputation(1),
            fx.StopComputation(1),
            fx.AwaitPort(1, 7002, 1),
            fx.AwaitLine(1, "/nowhere", "up"),
            fx.AcknowledgeAgent(1, 7),
            fx.SignalProcess(1, ProcessSignal.KILL),
            fx.ReleaseLaunch(1, "/nonexistent"),
        ):
            story.do(harmless)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(story.seen) == 2


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "unrecorded"])
async def test_qemu_outlives_the_daemon_and_is_found_again(world: World, recorded: bool) -> None:  # noqa: FBT001
    async with life_of(world.host()) as story:
        order = await running(story, world)
    process = process_of(story)
    async with life_of(world.host()) as successor:
        successor.do(reattach(order, process if recorded else None))
        again = await successor.until(ob.Reattached)
        assert (again.process, again.run_state) == (process, RunState.PRELAUNCH)
        assert again.evidence
        successor.do(fx.ExecuteQmp(1, QmpCommand.CONT))
        await successor.until(ob.GuestResumed)
        successor.do(fx.ExecuteQmp(1, QmpCommand.QUIT))
        await successor.until(ob.ProcessExited)


async def test_a_qemu_that_is_attended_to_is_only_asked_again(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
        story.do(reattach(order, process_of(story)))
        assert (await story.until(ob.Reattached)).process == process_of(story)
        story.do(fx.SignalProcess(1, ProcessSignal.KILL))
        await story.until(ob.ProcessExited)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert story.kinds().count("ProcessExited") == 1


async def test_a_qemu_that_died_while_nobody_was_there_is_gone(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
    world.kill(process_of(story))
    async with life_of(world.host()) as successor:
        successor.do(reattach(order, process_of(story)))
        evidence = (await successor.until(ob.ProcessExited)).evidence
        assert evidence.exit_code is None


async def test_an_intent_without_a_process_was_never_spawned(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await prepared(story, world)
        story.do(reattach(order, None))
        await story.until(ob.NeverSpawned)


async def test_a_process_of_another_boot_is_lost(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
    before = msgspec.structs.replace(process_of(story), boot_id="another")
    async with life_of(world.host()) as successor:
        successor.do(reattach(order, before))
        await successor.until(ob.HostRebooted)


@pytest.mark.fault("strangers-socket")
async def test_another_machine_is_never_adopted(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
    async with life_of(world.host(NO_EXIT)) as successor:
        wanted = msgspec.structs.replace(order, uuid=ANOTHER_UUID)
        successor.do(reattach(wanted, process_of(story)))
        assert order.uuid in (await successor.until(ob.ProcessSilent)).detail
        assert successor.kinds() == ["ProcessSilent"]


async def test_a_silent_qemu_is_watched_and_heard_again(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
    process = process_of(story)
    world.freeze(process)
    async with life_of(world.host(NO_GREETING)) as successor:
        successor.do(reattach(order, process))
        await successor.until(ob.ProcessSilent)
        world.thaw(process)
        successor.do(reattach(order, process))
        await successor.until(ob.Reattached)


@pytest.mark.fault("crash-unnoticed")
async def test_a_silent_qemu_may_still_die(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await running(story, world)
    process = process_of(story)
    world.freeze(process)
    async with life_of(world.host(NO_GREETING)) as successor:
        successor.do(reattach(order, process))
        await successor.until(ob.ProcessSilent)
        world.kill(process)
        await successor.until(ob.ProcessExited)


async def test_a_qemu_that_falls_silent_loses_contact_and_keeps_its_connection(
    world: World,
) -> None:
    async with life_of(world.host(NO_ANSWER)) as story:
        order = await running(story, world)
        world.freeze(process_of(story))
        story.do(fx.ExecuteQmp(1, QmpCommand.CONT))
        assert (await story.until(ob.QmpCommandFailed)).command == "cont"
        await story.until(ob.QmpLost)
        world.thaw(process_of(story))
        story.do(reattach(order, process_of(story)))
        await story.until(ob.Reattached)


async def test_a_deadline_that_has_passed_fires_at_once(world: World) -> None:
    async with life_of(world.host()) as story:
        story.do(fx.ArmTimer(1, TimerKind.TTL, 1))
        assert await story.until(ob.TimerFired) == ob.TimerFired(1, TimerKind.TTL, 1)


async def test_a_results_disk_that_was_never_written_is_refused(world: World) -> None:
    async with life_of(world.host()) as story:
        order = await prepared(story, world)
        story.do(fx.CollectResult(1, order.directory, 1024))
        assert "never written" in (await story.until(ob.ResultRefused)).detail


async def test_files_are_removed_and_may_be_missing(world: World) -> None:
    async with life_of(world.host()) as story:
        await prepared(story, world)
        story.do(fx.RemoveFiles(1))
        await story.until(ob.FilesRemoved)
        story.do(fx.RemoveFiles(1))
        await story.until(ob.FilesRemoved)


async def test_files_that_cannot_be_removed_are_told_and_may_be_removed_later(
    world: World,
) -> None:
    async with life_of(world.host()) as story:
        world.occupy()
        story.do(fx.RemoveFiles(1))
        assert "Not a directory" in (await story.until(ob.RemovalFailed)).detail
        world.vacate()
        story.do(fx.RemoveFiles(1))
        await story.until(ob.FilesRemoved)


@pytest.mark.qemu
async def test_a_launch_leaves_no_descriptor_open(tmp_path: Path) -> None:
    world = RealWorld(tmp_path)
    host = world.host()

    async def launch() -> int:
        async with life_of(host) as story:
            order = await running(story, world)
            story.do(fx.SignalProcess(1, ProcessSignal.KILL))
            await story.until(ob.ProcessExited)
            story.do(reattach(order, process_of(story)))
            await story.until(ob.ProcessExited)
        return len(os.listdir("/proc/self/fd"))

    assert await launch() == await launch()
