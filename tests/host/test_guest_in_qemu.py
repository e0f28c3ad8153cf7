"""The host layer with a guest that really runs: the core is played by the test."""

import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.artifacts.catalogue import Catalogue
from supervisor.artifacts.digest_cache import DigestCache
from supervisor.host.facts import read_facts
from supervisor.host.host import VmHost
from supervisor.host.logs import guest_log_path
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.effects import QmpCommand, Reattach
from supervisor.vm.observations import LaunchPrepared, ShutdownCause
from supervisor.vm.spec import MIB, Accelerator, Algorithm, Dataset, Manifest, VmShape
from tests.host.story import Story, life_of
from tests.host.worlds import VM_ID, RealWorld

pytestmark = pytest.mark.guest

WORD_COUNT = b"""#!/bin/sh
wc -w <datasets/words >results/count
echo counted >&2
exit 3
"""
"""Its exit code is not 0, so that one that is made up would be seen."""


class Bench:
    """A world whose catalogue is the built reference guest."""

    def __init__(self, root: Path, guest_dir: Path) -> None:
        self.world = RealWorld(root)
        self._guest_dir = guest_dir

    def host(self) -> VmHost:
        return VmHost(
            VM_ID,
            self.world.directory,
            artifacts=self.world.artifacts,
            catalogue=Catalogue(self._guest_dir),
            digests=DigestCache(),
            machine=read_facts(),
        )

    async def prepared(self, story: Story, algorithm: bytes) -> fx.SpawnQemu:
        words = await self.world.add(b"one two three four\n")
        manifest = Manifest(
            name="words",
            algorithm=Algorithm((await self.world.add(algorithm)).sha256),
            datasets=(Dataset("words", words.sha256),),
            vm=VmShape(memory_bytes=128 * MIB, accel=Accelerator.TCG),
        )
        story.do(fx.PrepareLaunch(1, manifest))
        return self.world.spawn_order_of(manifest, await story.until(LaunchPrepared))


@pytest.fixture
async def bench(tmp_path: Path, guest_dir: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, guest_dir)
    yield bench
    bench.world.clear()


async def nobody(observation: ob.Observation) -> None:
    raise AssertionError(observation)


async def ordered(story: Story, order: fx.SpawnQemu) -> None:
    """Tell a guest that is ready to begin."""
    story.do(order)
    await story.until(ob.QmpReady)
    story.do(fx.ExecuteQmp(1, QmpCommand.CONT))
    await story.until(ob.AgentReady)
    story.do(fx.StartComputation(1))


async def started(story: Story, order: fx.SpawnQemu) -> None:
    await ordered(story, order)
    await story.until(ob.AgentStarted)


async def test_a_computation_runs_across_two_lives_of_the_daemon(bench: Bench) -> None:
    async with life_of(bench.host()) as story:
        order = await bench.prepared(story, WORD_COUNT)
        await started(story, order)
        spawned = next(seen.process for seen in story.seen if isinstance(seen, ob.QemuSpawned))
    async with life_of(bench.host()) as successor:
        successor.do(Reattach(1, order.directory, order.uuid, spawned, order.log_bytes))
        await successor.until(ob.Reattached)
        finished = await successor.until(ob.AgentFinished)
        assert (finished.exit_code, finished.error) == (3, "")
        successor.do(fx.AcknowledgeAgent(1, finished.seq))
        shut_down = await successor.until(ob.GuestShutDown)
        assert shut_down.cause is ShutdownCause.GUEST_SHUTDOWN
        successor.do(fx.ExecuteQmp(1, QmpCommand.QUIT))
        await successor.until(ob.ProcessExited)
        successor.do(fx.CollectResult(1, order.directory, MIB))
        collected = await successor.until(ob.ResultCollected)
        assert (collected.size, collected.exit_code) == (finished.length, 3)
        with tarfile.open(bench.world.artifacts.path(collected.sha256)) as tar:
            count = tar.extractfile("results/count")
            assert count is not None
            assert count.read() == b"4\n"
    await bench.host().perform(fx.ReleaseLaunch(1, order.directory), nobody)
    left = set(os.listdir(order.directory))
    assert not {name for name in left if name.endswith((".sock", ".img", ".tar"))}


async def test_a_panic_is_seen_and_the_console_says_why(bench: Bench) -> None:
    async with life_of(bench.host()) as story:
        order = await bench.prepared(story, b"#!/bin/sh\necho c >/proc/sysrq-trigger\n")
        # Its agent's last words and QEMU's come by two sockets, and either may be read first.
        await ordered(story, order)
        await story.until(ob.GuestPanicked)
        story.do(fx.QueryRunState(1))
        state = (await story.until(ob.RunStateObserved)).run_state
        assert state is ob.RunState.PANICKED
        story.do(fx.ExecuteQmp(1, QmpCommand.QUIT))
        evidence = (await story.until(ob.ProcessExited)).evidence
        assert "Kernel panic" in evidence.console


async def test_what_the_computation_says_is_in_the_guest_log(bench: Bench) -> None:
    async with life_of(bench.host()) as story:
        order = await bench.prepared(story, b"#!/bin/sh\necho 'one two'\nprintf 'three\\033[2J'\n")
        await started(story, order)
        await story.until(ob.AgentFinished)
        log = guest_log_path(bench.world.directory, 1).read_text()
        assert log.splitlines() == ["one two", "three?[2J"]
        story.do(fx.SignalProcess(1, fx.ProcessSignal.KILL))
        assert (await story.until(ob.ProcessExited)).evidence.signal == 9
