"""One life of the daemon on one VM's part of the simulated host.

It keeps the contract of every host (tests/host/test_host_contract.py), and takes its time: before
an effect, and before each word of it, other tasks may run, and the daemon may die.
"""

from collections.abc import Callable
from typing import Protocol

from supervisor.host.report import Report
from supervisor.host.timers import Timers
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.effects import Effect, ProcessSignal, QmpCommand
from supervisor.vm.observations import ExitEvidence, Observation, RunState, ShutdownCause
from tests.host.fake_host import Attention, FakeHost
from tests.simulation.machine import SimulatedMachine, SimulatedQemu
from tests.simulation.violation import Violation


class Fate(Protocol):
    """What a life of the daemon has in store for its hosts."""

    def check(self) -> None:
        """Raise Killed once the daemon is dead: nothing that it does reaches the world."""

    async def dawdle(self) -> None:
        """Let others run for a while."""

    def misfortune(self, vm_id: str, effect: Effect) -> str:
        """Return why this effect fails; empty where it does not."""


class SimulatedHost(FakeHost):
    """The effects of one VM, in one life of the daemon."""

    def __init__(self, machine: SimulatedMachine, fate: Fate, *, now_ms: Callable[[], int]) -> None:
        super().__init__(machine, now_ms=now_ms)
        self._own = machine
        self._fate = fate
        self._deadlines = Timers(now_ms)

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do what ``effect`` says, as long as the daemon lives."""

        async def tell(observation: Observation) -> None:
            await self._fate.dawdle()
            self._fate.check()
            self._own.remember(observation)
            await report(observation)

        self._own.report = report
        await self._fate.dawdle()
        self._fate.check()
        if failure := self._fail(effect):
            await tell(failure)
        else:
            await self._do(effect, tell)

    def _fail(self, effect: Effect) -> Observation | None:
        why = self._fate.misfortune(self._own.vm_id, effect)
        match effect:
            case fx.PrepareLaunch(launch=launch) if why:
                return ob.LaunchImpossible(launch, why)
            case fx.SpawnQemu(launch=launch) if why and launch not in self._own.qemus:
                return ob.SpawnFailed(launch, why)
            case fx.ExecuteQmp(launch=launch, command=command) if why:
                return ob.QmpCommandFailed(launch, command.value, why)
            case fx.QueryRunState(launch=launch) if why:
                return ob.QmpCommandFailed(launch, "query-status", why)
            case fx.CollectResult(launch=launch) if why:
                return ob.ResultRefused(launch, why)
            case fx.RemoveFiles(launch=launch) if why:
                return ob.RemovalFailed(launch, why)
        return None

    async def _do(self, effect: Effect, report: Report) -> None:
        match effect:
            case fx.StartComputation(launch=launch):
                if qemu := self._attended_to(launch):
                    qemu.guest.start()
            case fx.StopComputation(launch=launch):
                if qemu := self._attended_to(launch):
                    qemu.guest.stop()
            case fx.AcknowledgeAgent(launch=launch, seq=seq):
                if qemu := self._attended_to(launch):
                    qemu.guest.acknowledge(seq)
            case fx.CollectResult(launch=launch):
                await report(self._collect(launch))
            case fx.ReleaseLaunch(launch=launch):
                self._deadlines.release(launch)
            case _:
                await super().perform(effect, report)

    def _attended_to(self, launch: int) -> SimulatedQemu | None:
        qemu = self._own.qemus.get(launch) if launch in self._attended else None
        assert qemu is None or isinstance(qemu, SimulatedQemu)
        return qemu

    def _collect(self, launch: int) -> Observation:
        if self._own.current is not None and self._own.current.launch == launch:
            raise Violation("a result is read only after the exit", self._own.vm_id)
        unwritten = ob.ResultRefused(launch, "the results disk was never written")
        return self._own.result_of(launch) or unwritten

    async def _spawn(self, order: fx.SpawnQemu, report: Report) -> None:
        await self._fate.dawdle()
        self._fate.check()
        await super()._spawn(order, report)

    async def _execute(self, order: fx.ExecuteQmp, report: Report) -> None:
        qemu = self._attended_to(order.launch)
        if qemu is None or qemu.attention is Attention.FROZEN:
            await super()._execute(order, report)
            return
        match order.command:
            case QmpCommand.QUIT:
                self._own.leave(qemu, ShutdownCause.HOST_QUIT)
            case QmpCommand.POWERDOWN:
                await qemu.guest.press_power()
            case QmpCommand.RESET:
                qemu.reset()
                await qemu.say(ob.GuestWasReset(order.launch, by_guest=False))
            case QmpCommand.STOP if qemu.run_state is not RunState.RUNNING:
                pass  # nothing runs that could be stopped
            case QmpCommand.CONT if not qemu.can_run:
                await report(
                    ob.QmpCommandFailed(order.launch, "cont", "resetting the VM is required")
                )
            case _:
                await super()._execute(order, report)

    async def _signal(self, order: fx.SignalProcess) -> None:
        qemu = self._attended_to(order.launch)
        if qemu is None:
            return
        if order.signal is ProcessSignal.KILL:
            qemu.end(ExitEvidence(signal=9))
        elif qemu.attention is Attention.AWAKE:
            self._own.leave(qemu, ShutdownCause.HOST_SIGNAL)

    async def _time(self, order: fx.ArmTimer, report: Report) -> None:
        # Those of the real host: the clock may be set while they wait.
        deadline_ms, patience_ms = order.deadline_ms, order.patience_ms
        if await self._deadlines.wait(order.launch, order.kind, deadline_ms, patience_ms):
            await report(ob.TimerFired(order.launch, order.kind, order.deadline_ms))
