"""A guest in a simulated QEMU: what its kernel and its agent do, whether anybody listens or not."""

from enum import Enum
from random import Random
from typing import Protocol

import trio

from supervisor.vm import observations as ob
from supervisor.vm.observations import Observation, RunState, ShutdownCause

REPEAT_S = 1.0
REPEAT_MAX_S = 64.0
"""An agent repeats each second; here ever more rarely, or waiting would be most of what is done."""

SHA256 = "5e" * 32

EARLY = 0.2
"""How often a mishap comes at boot, before anything else is heard of the guest."""


class Temper(Enum):
    """What sort of guest it is."""

    DILIGENT = "computes and tells"
    FAILING = "its algorithm fails"
    HELPLESS = "cannot start its algorithm"
    MUTE = "never gets ready"
    PANICKING = "its kernel panics"
    LEAVING = "powers off in the midst of it"
    REBOOTING = "reboots in the midst of it"
    BABBLING = "breaks the agent protocol"
    LYING = "tells of a result that is not on the disk"
    STUBBORN = "computes for ever and ignores ACPI"
    UNLUCKY = "has a disk that fails"
    STARVED = "is stopped by QEMU because its disk failed"
    SLEEPY = "suspends itself, and is woken by its clock"
    HANGING = "forgets its watchdog"
    DUMPING = "panics into its crash kernel, with bad memory"
    RESETTING = "resets itself as firmware does"


SOUND = (Temper.DILIGENT, Temper.FAILING)


class Computer(Protocol):
    """The QEMU that a guest runs in."""

    launch: int
    run_state: RunState

    async def say(self, *observations: Observation) -> None:
        """Tell whoever attends; words that nobody hears are gone."""

    async def runs(self) -> None:
        """Wait until the CPUs run."""


class Guest:
    """One boot of a guest: it begins again with each reset."""

    def __init__(self, computer: Computer, temper: Temper, chance: Random) -> None:
        self.result: ob.ResultCollected | None = None
        self._computer = computer
        self._launch = computer.launch
        self._temper = temper
        self._chance = chance
        self._start = trio.Event()
        self._stop = trio.Event()
        self._heard: dict[int, trio.Event] = {}

    def start(self) -> None:
        """Hear the host's ``start``."""
        self._start.set()

    def stop(self) -> None:
        """Hear the host's ``stop``."""
        if self._temper is not Temper.STUBBORN:
            self._stop.set()
            self._start.set()

    def acknowledge(self, seq: int) -> None:
        """Hear that the message ``seq`` is durable."""
        if seq in self._heard:
            self._heard[seq].set()

    async def press_power(self) -> None:
        """Feel the ACPI button."""
        if self._temper not in (Temper.STUBBORN, Temper.MUTE):
            await self._go_down(RunState.SHUTDOWN, ShutdownCause.GUEST_SHUTDOWN)

    async def live(self) -> None:
        """Boot, and do what this temper does."""
        if self._chance.random() < EARLY:
            await self._stumble()
        await self._pass(self._chance.uniform(0.5, 4))
        match self._temper:
            case Temper.MUTE:
                pass
            case Temper.HELPLESS:
                await self._finish(127, "bad-algorithm")
            case _:
                await self._converse()

    async def _converse(self) -> None:
        await self._insist(self._start, ob.AgentReady(self._launch, 1))
        if self._stop.is_set():
            await self._finish(143, "not-started")
            return
        self._heard[2] = trio.Event()
        await self._insist(self._heard[2], ob.AgentStarted(self._launch, 2))
        await self._compute()

    async def _compute(self) -> None:
        await self._report_progress(self._chance.randint(0, 2))
        match self._temper:
            case Temper.LEAVING:
                if self._chance.random() < 0.5:
                    self._write_result(0)
                await self._go_down(RunState.SHUTDOWN, ShutdownCause.GUEST_SHUTDOWN)
            case Temper.REBOOTING:
                await self._go_down(RunState.SHUTDOWN, ShutdownCause.GUEST_RESET)
            case Temper.STUBBORN:
                await trio.sleep_forever()
            case Temper.FAILING:
                await self._finish(3)
            case _:
                await self._stumble()
                await self._computer.runs()
                await self._finish(143 if self._stop.is_set() else self._exit_code())

    def _exit_code(self) -> int:
        stumbled = self._temper not in (Temper.DILIGENT, Temper.LYING)
        return self._chance.randrange(2) if stumbled else 0

    async def _stumble(self) -> None:
        """Let something happen, which the computation survives or not."""
        say = self._computer.say
        match self._temper:
            case Temper.PANICKING:
                await say(ob.GuestPanicked(self._launch))
                self._computer.run_state = RunState.PANICKED
            case Temper.HANGING:
                self._computer.run_state = RunState.HUNG
                await say(ob.GuestHung(self._launch), ob.GuestStopped(self._launch))
            case Temper.STARVED:
                self._computer.run_state = RunState.DISK_FAILED
                failed = ob.GuestDiskFailed(self._launch, "results", "write: ENOSPC")
                await say(failed, ob.GuestStopped(self._launch))
            case Temper.BABBLING:
                await say(ob.AgentBrokeProtocol(self._launch, "no JSON"))
            case Temper.UNLUCKY:
                await say(ob.GuestDiskFailed(self._launch, "results", "write: EIO"))
            case Temper.SLEEPY:
                self._computer.run_state = RunState.SUSPENDED
                await say(ob.GuestSuspended(self._launch))
                await trio.sleep(self._chance.uniform(0.1, 9))
                if self._computer.run_state is RunState.SUSPENDED:
                    self._computer.run_state = RunState.RUNNING
                    await say(ob.GuestWoke(self._launch))
            case Temper.DUMPING:
                await say(ob.MemoryFailed(self._launch, "recovered"))
                await say(ob.GuestCrashLoaded(self._launch))
            case Temper.RESETTING:
                await say(ob.GuestWasReset(self._launch, by_guest=True))

    async def _report_progress(self, times: int) -> None:
        for time in range(times):
            await self._pass(self._chance.uniform(0.2, 6))
            said = ob.AgentProgress(self._launch, (time + 1) / (times + 1), "computing")
            await self._computer.say(said)

    async def _finish(self, exit_code: int, error: str = "") -> None:
        await self._pass(self._chance.uniform(0.1, 5))
        if not error and self._temper is not Temper.LYING:
            self._write_result(exit_code)
        self._heard[9] = trio.Event()
        length = 0 if error else 2048
        said = ob.AgentFinished(self._launch, 9, exit_code, length, error)
        await self._insist(self._heard[9], said)
        await self._pass(30)
        await self._go_down(RunState.SHUTDOWN, ShutdownCause.GUEST_SHUTDOWN)

    def _write_result(self, exit_code: int) -> None:
        self.result = ob.ResultCollected(self._launch, SHA256, 2048, exit_code)

    async def _go_down(self, run_state: RunState, cause: ShutdownCause) -> None:
        if self._computer.run_state is RunState.RUNNING:
            self._computer.run_state = run_state
            await self._computer.say(ob.GuestShutDown(self._launch, cause))

    async def _insist(self, heard: trio.Event, said: Observation) -> None:
        """Repeat a line until it is answered."""
        wait = REPEAT_S
        while not heard.is_set():
            await self._computer.runs()
            await self._computer.say(said)
            with trio.move_on_after(wait):
                await heard.wait()
            wait = min(2 * wait, REPEAT_MAX_S)

    async def _pass(self, seconds: float) -> None:
        await trio.sleep(seconds)
        await self._computer.runs()
