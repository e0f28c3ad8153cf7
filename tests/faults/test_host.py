"""Deaths round an effect, of a process that is really killed."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import trio

from supervisor.actor import Report
from supervisor.faults.host import FaultyHost
from supervisor.faults.plan import EffectMoment, KillQemuAtEffect
from supervisor.faults.trigger import Trigger
from supervisor.host.process import start_ticks
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.effects import Effect
from supervisor.vm.observations import Observation, ProcessIdentity

DEATH_S = 60


@pytest.fixture
def qemu() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


class HostOf:
    """A host that finds this process, and attends to it for as long as it is let."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._identity = ProcessIdentity(process.pid, start_ticks(process.pid), "boot")

    async def perform(self, effect: Effect, report: Report) -> None:
        """Say that it was found again, and stay."""
        found = ob.Reattached(1, self._identity, ob.RunState.RUNNING, ("it is the test's",))
        await report(found)
        await trio.sleep_forever()


async def test_after_an_effect_that_lasts_is_before_its_first_word_is_heard(
    qemu: "subprocess.Popen[bytes]",
) -> None:
    fault = KillQemuAtEffect(EffectMoment.AFTER, "Reattach")
    host = FaultyHost(HostOf(qemu), [Trigger(fault)], Counter())
    died: list[int] = []

    async with trio.open_nursery() as nursery:

        async def hear(_observation: Observation) -> None:
            died.append(await trio.to_thread.run_sync(qemu.wait, DEATH_S))
            nursery.cancel_scope.cancel()

        await host.perform(fx.Reattach(1, "/launch-1", "uuid", None, 1024), hear)
    assert died == [-signal.SIGKILL]
