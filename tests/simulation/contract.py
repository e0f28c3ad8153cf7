"""The simulated host as the contract suite of all hosts sees it: without storms, in real time."""

import time
from random import Random

import trio

from supervisor.actor import Host
from supervisor.host.contact import Patience
from supervisor.vm.effects import Effect
from tests.host.worlds import PATIENT, VM_ID, FakeWorld
from tests.simulation.guest import Temper
from tests.simulation.host import SimulatedHost
from tests.simulation.machine import Hardware, SimulatedMachine


class Calm:
    """A life in which nothing goes wrong."""

    def check(self) -> None:
        """Live on."""

    async def dawdle(self) -> None:
        """Take no time."""
        await trio.lowlevel.checkpoint()

    def misfortune(self, vm_id: str, effect: Effect) -> str:
        """Let nothing fail."""
        return ""


def _mute() -> Temper:
    return Temper.MUTE


def _take_for_granted(vm_id: str, launch: int) -> None:
    """There is no log that an intent could be in."""


class CalmWorld(FakeWorld):
    """A world of the contract suite; its guests say nothing."""

    def __init__(self) -> None:
        super().__init__()
        hardware = Hardware(trio.lowlevel.spawn_system_task, Random(1), most_running=1)
        self.machine = SimulatedMachine(VM_ID, hardware, _mute, _take_for_granted)

    def host(self, patience: Patience = PATIENT) -> Host:
        assert isinstance(self.machine, SimulatedMachine)
        return SimulatedHost(self.machine, Calm(), now_ms=lambda: time.time_ns() // 1_000_000)
