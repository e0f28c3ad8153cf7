"""A Host in memory, for whoever needs a VM that obeys at once: same contract, no QEMU.

:class:`FakeMachine` is what outlives the daemon (processes, the boot, the disk); a
:class:`FakeHost` is one life of the daemon on it. The contract suite runs on both this and the real
host (test_host_contract.py).
"""

import base64
from collections.abc import Callable
from enum import Enum
from typing import assert_never

import trio

from supervisor.host.report import Report
from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.confidential import SevEvidence
from supervisor.vm.effects import Effect, ProcessSignal, QmpCommand
from supervisor.vm.observations import (
    ExitEvidence,
    Image,
    LaunchImages,
    Observation,
    ProcessIdentity,
    RunState,
    ShutdownCause,
)

QEMU = "/usr/bin/qemu-system-x86_64"
FIRST_PORT = 20_000
MEASUREMENT = base64.b64encode(bytes(48)).decode()
BOOT_ID = "5f3f9c1e-0000-4000-8000-000000000001"


class Attention(Enum):
    """Whether a process answers."""

    AWAKE = "awake"
    FROZEN = "frozen"


class FakeQemu:
    """One process; it goes on while no host attends to it."""

    def __init__(self, launch: int, uuid: str, identity: ProcessIdentity) -> None:
        self.launch = launch
        self.uuid = uuid
        self.identity = identity
        self.attention = Attention.AWAKE
        self.run_state = RunState.PRELAUNCH
        self.exit: ExitEvidence | None = None
        self.ended = trio.Event()
        self.report: Report | None = None

    async def say(self, *observations: Observation) -> None:
        """Report to whoever attends; words that nobody hears are gone."""
        for observation in observations:
            if self.report is not None:
                await self.report(observation)

    def end(self, evidence: ExitEvidence) -> None:
        """End the process, once."""
        if self.exit is None:
            self.exit = evidence
            self.ended.set()


class FakeMachine:
    """What outlives the daemon: processes, the boot, and what lies on the disk."""

    def __init__(self) -> None:
        self.boot_id = BOOT_ID
        self.qemus: dict[int, FakeQemu] = {}
        self.artifacts: set[str] = set()
        self.result: ob.ResultCollected | None = None
        self.unremovable = ""
        """What keeps the VM's files on the disk, if anything."""
        self.first_words: Callable[[FakeQemu], ExitEvidence | None] = lambda qemu: None
        """What a new process dies of at once, if anything."""

    def spawn(self, launch: int, uuid: str) -> FakeQemu:
        """Start a process."""
        identity = ProcessIdentity(1000 + launch, 5000 + launch, self.boot_id)
        qemu = self.qemus[launch] = FakeQemu(launch, uuid, identity)
        return qemu

    def reboot(self) -> None:
        """Lose every process, and the boot id."""
        self.boot_id = BOOT_ID[:-1] + "2"
        for qemu in self.qemus.values():
            qemu.end(ExitEvidence())


class FakeHost:
    """One life of the daemon, for one VM. ``performed`` is every effect that was ordered."""

    def __init__(self, machine: FakeMachine, *, now_ms: Callable[[], int]) -> None:
        self.performed: list[Effect] = []
        self._machine = machine
        self._now_ms = now_ms
        self._attended: set[int] = set()
        self._timers: dict[tuple[int, ob.TimerKind], trio.CancelScope] = {}

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do what ``effect`` says; see supervisor.actor.Host."""
        self.performed.append(effect)
        await trio.lowlevel.checkpoint()
        match effect:
            case fx.PrepareLaunch():
                await report(self._prepare(effect))
            case fx.SpawnQemu():
                await self._spawn(effect, report)
            case fx.Reattach():
                await self._reattach(effect, report)
            case fx.ExecuteQmp():
                await self._execute(effect, report)
            case fx.QueryRunState(launch=launch):
                if (qemu := await self._answering(launch, "query-status", report)) is not None:
                    await report(ob.RunStateObserved(launch, qemu.run_state))
            case fx.MeasureLaunch(launch=launch, confidential=confidential):
                evidence = SevEvidence(MEASUREMENT, 1, 55, 24, confidential.policy)
                await report(ob.LaunchMeasured(launch, evidence))
            case fx.InjectSecret(launch=launch, sha256=sha256):
                await report(ob.SecretInjected(launch, sha256))
            case fx.RequestReport(launch=launch, nonce=nonce):
                await report(ob.ReportReceived(launch, nonce, nonce))
            case (
                fx.StartComputation()
                | fx.StopComputation()
                | fx.AwaitPort()
                | fx.AwaitLine()
                | fx.AcknowledgeAgent()
            ):
                pass  # the test is the guest, and reads ``performed``
            case fx.ArmTimer():
                await self._time(effect, report)
            case fx.SignalProcess():
                await self._signal(effect)
            case fx.CollectResult(launch=launch):
                unwritten = ob.ResultRefused(launch, "the results disk was never written")
                await report(self._machine.result or unwritten)
            case fx.ReleaseLaunch(launch=launch):
                self._release_timers(launch)
            case fx.RemoveFiles(launch=launch):
                why = self._machine.unremovable
                await report(ob.RemovalFailed(launch, why) if why else ob.FilesRemoved(launch))
            case fx.Reserve(launch=launch, network=network):
                ports = range(FIRST_PORT, FIRST_PORT + len(network.forwards))
                await report(ob.Reserved(launch, tuple(ports)))  # it shares the host with nobody
            case _:
                assert_never(effect)

    def _prepare(self, order: fx.PrepareLaunch) -> Observation:
        digest = order.manifest.algorithm.sha256
        if digest not in self._machine.artifacts:
            return ob.LaunchImpossible(order.launch, f"no artifact has the sha256 {digest!r}")
        image = Image("/image", "0" * 64, 1)
        images = LaunchImages(Image(QEMU, "0" * 64, 1), image, image, (image,), image)
        directory = f"/vms/vm/launch-{order.launch}"
        return ob.LaunchPrepared(order.launch, directory, images, "tcg", order.host_ports)

    async def _spawn(self, order: fx.SpawnQemu, report: Report) -> None:
        running = self._machine.qemus.get(order.launch)
        if order.argv[0] != QEMU:
            await report(ob.SpawnFailed(order.launch, f"QEMU ({order.argv[0]}) cannot be started"))
        elif running is not None and running.exit is None:
            await report(ob.SpawnFailed(order.launch, "another QEMU holds the launch's lock"))
        else:
            qemu = self._machine.spawn(order.launch, order.uuid)
            await report(ob.QemuSpawned(order.launch, qemu.identity))
            if (death := self._machine.first_words(qemu)) is not None:
                qemu.end(death)
                await self._attend(qemu, report)
            else:
                await self._attend(qemu, report, ob.QmpReady(order.launch, "7.2.0"))

    async def _reattach(self, order: fx.Reattach, report: Report) -> None:
        qemu = self._machine.qemus.get(order.launch)
        if order.process is not None and order.process.boot_id != self._machine.boot_id:
            await report(ob.HostRebooted(order.launch))
        elif qemu is None:
            await report(ob.NeverSpawned(order.launch))
        elif order.launch in self._attended:
            await report(self._contact(qemu, order))
        elif qemu.exit is not None:
            await report(ob.ProcessExited(order.launch, ExitEvidence()))
        else:
            await self._attend(qemu, report, self._contact(qemu, order))

    def _contact(self, qemu: FakeQemu, order: fx.Reattach) -> Observation:
        if qemu.attention is Attention.FROZEN:
            return ob.ProcessSilent(order.launch, "QEMU did not answer in time")
        if qemu.uuid != order.uuid:
            return ob.ProcessSilent(order.launch, f"QMP answers for the machine {qemu.uuid}")
        return ob.Reattached(order.launch, qemu.identity, qemu.run_state, ("proven by the test",))

    async def _attend(self, qemu: FakeQemu, report: Report, *first: Observation) -> None:
        self._attended.add(qemu.launch)
        qemu.report = report
        try:
            await qemu.say(*first)
            await qemu.ended.wait()
            assert qemu.exit is not None
            await report(ob.ProcessExited(qemu.launch, qemu.exit))
        finally:
            qemu.report = None
            self._attended.discard(qemu.launch)

    async def _execute(self, order: fx.ExecuteQmp, report: Report) -> None:
        qemu = await self._answering(order.launch, order.command.value, report)
        if qemu is None:
            return
        match order.command:
            case QmpCommand.CONT:
                qemu.run_state = RunState.RUNNING
                await qemu.say(ob.GuestResumed(order.launch))
            case QmpCommand.STOP:
                qemu.run_state = RunState.PAUSED
                await qemu.say(ob.GuestStopped(order.launch))
            case QmpCommand.RESET:
                await qemu.say(ob.GuestWasReset(order.launch, by_guest=False))
            case QmpCommand.QUIT:
                await qemu.say(ob.GuestShutDown(order.launch, ShutdownCause.HOST_QUIT))
                qemu.end(ExitEvidence(exit_code=0))
            case QmpCommand.POWERDOWN | QmpCommand.FORBID_REBOOT:
                pass  # what the guest makes of it is for the test to say
            case _:
                assert_never(order.command)

    async def _answering(self, launch: int, command: str, report: Report) -> FakeQemu | None:
        if launch not in self._attended:
            await report(_unanswered(launch, command, "not connected to QEMU"))
            return None
        qemu = self._machine.qemus[launch]
        if qemu.attention is Attention.AWAKE:
            return qemu
        await report(_unanswered(launch, command, "QEMU did not answer in time"))
        await report(ob.QmpLost(launch, "QEMU did not answer in time"))
        return None

    async def _signal(self, order: fx.SignalProcess) -> None:
        if order.launch not in self._attended:
            return
        qemu = self._machine.qemus[order.launch]
        if order.signal is ProcessSignal.KILL:
            qemu.end(ExitEvidence(signal=9))
        elif qemu.attention is Attention.AWAKE:
            await qemu.say(ob.GuestShutDown(order.launch, ShutdownCause.HOST_SIGNAL))
            qemu.end(ExitEvidence(exit_code=0))

    async def _time(self, order: fx.ArmTimer, report: Report) -> None:
        key = (order.launch, order.kind)
        if (earlier := self._timers.pop(key, None)) is not None:
            earlier.cancel()
        with trio.CancelScope() as scope:
            self._timers[key] = scope
            left_ms = order.deadline_ms - self._now_ms()
            await trio.sleep(max(order.patience_ms, left_ms) / 1000)
            await report(ob.TimerFired(order.launch, order.kind, order.deadline_ms))

    def _release_timers(self, launch: int) -> None:
        for (armed, _), scope in self._timers.items():
            if armed == launch:
                scope.cancel()


def _unanswered(launch: int, command: str, why: str) -> ob.QmpCommandFailed:
    return ob.QmpCommandFailed(launch, command, why, ob.QmpFailure.UNANSWERED)
