"""A model of everything outside the core: it performs effects, and it breaks.

Where the real host has processes and sockets, this has three enums for each launch. What an effect
leads to is put into ``pending`` and delivered later, in any order that the test chooses; killing
the daemon loses whatever is pending, and leaves every QEMU as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from random import Random

from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.effects import Effect, ProcessSignal, QmpCommand
from supervisor.vm.observations import Observation, RunState, ShutdownCause, TimerKind
from supervisor.vm.spec import SECOND_MS
from tests.vm.life import Happening, Life, Restart
from tests.vm.states import DIRECTORY, EVIDENCE, EXIT, IMAGES, PROCESS, SHA256


class Guest(Enum):
    """How far the agent in the guest has come; a MUTE guest has none."""

    MUTE = "mute"
    READY = "ready"
    STARTED = "started"
    FINISHED = "finished"


GUESTS = (Guest.READY, Guest.READY, Guest.READY, Guest.MUTE)


class Tongue(Enum):
    """Whether QMP answers."""

    LOOSE = "loose"
    TIED = "tied"


@dataclass
class Qemu:
    """One process: ``attended`` by this life of the daemon or not."""

    launch: int
    guest: Guest
    tongue: Tongue = Tongue.LOOSE
    run_state: RunState = RunState.PRELAUNCH
    attended: bool = True
    alive: bool = True


@dataclass
class World:
    """One VM, its supervisor's core, and the host that both live on."""

    random: Random
    life: Life = field(default_factory=Life)
    qemus: dict[int, Qemu] = field(default_factory=dict)
    pending: list[Callable[[], None]] = field(default_factory=list)
    timers: dict[tuple[int, TimerKind], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._perform(tuple(self.life.effects))

    def meet(self, happening: Happening) -> None:
        """Tell the core, and begin what it decides."""
        self._perform(self.life.meet(happening).effects)

    def kill_daemon(self) -> None:
        """Lose everything that is not in the log, and start again."""
        self.pending.clear()
        self.timers.clear()
        for qemu in self.qemus.values():
            qemu.attended = False
        self.meet(Restart())

    def break_something(self) -> None:
        """Let one of the things happen that nobody ordered."""
        qemu = self.current
        if qemu is None:
            return
        match self.random.randrange(5):
            case 0:
                self._die(qemu, ob.ExitEvidence(signal=11))
            case 1:
                qemu.tongue = Tongue.TIED
                self._say(qemu, ob.QmpLost(qemu.launch, "timed out"))
            case 2:
                qemu.tongue = Tongue.LOOSE
            case 3:
                self._go_down(qemu, RunState.PANICKED, ob.GuestPanicked(qemu.launch))
            case 4:
                off = ob.GuestShutDown(qemu.launch, ShutdownCause.GUEST_SHUTDOWN)
                self._go_down(qemu, RunState.SHUTDOWN, off)

    def deliver(self) -> None:
        """Let one of the things that are on their way arrive."""
        self.pending.pop(self.random.randrange(len(self.pending)))()

    def pass_time(self) -> bool:
        """Let a second pass, or all the time to the next timer where nothing else goes on.

        Return whether there is anything to wait for.
        """
        qemu = self.current
        speaking = qemu is not None and qemu.attended and qemu.run_state is RunState.RUNNING
        second = self.life.now_ms + SECOND_MS
        due = min(self.timers.values(), default=None)
        if due is not None and (due[0] <= second or not (speaking or self.pending)):
            self._fire(*due)
        else:
            self.life.now_ms = second
            if qemu is not None and speaking:
                self._guest_speaks(qemu)
        return speaking or due is not None

    @property
    def current(self) -> Qemu | None:
        """The QEMU that is alive, of which there is never more than one."""
        alive = [qemu for qemu in self.qemus.values() if qemu.alive]
        assert len(alive) <= 1, "two QEMUs run for one VM"
        return alive[0] if alive else None

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, fx.ArmTimer):
                soonest = self.life.now_ms + effect.patience_ms
                due = max(effect.deadline_ms, soonest)
                self.timers[effect.launch, effect.kind] = (due, effect.deadline_ms)
            elif isinstance(effect, fx.ReleaseLaunch):
                self._release(effect.launch)
            else:
                self.pending.append(partial(self._carry_out, effect))

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case fx.Reserve():
                self._report(ob.Reserved(effect.launch, ()))
            case fx.PrepareLaunch():
                prepared = ob.LaunchPrepared(effect.launch, DIRECTORY, IMAGES, "tcg")
                self._report(prepared)
            case fx.SpawnQemu():
                self._spawn(effect.launch)
            case fx.Reattach():
                self._report(self._find(effect.launch))
            case fx.CollectResult():
                self._report(self._collect(effect.launch))
            case fx.RemoveFiles():
                self._report(ob.FilesRemoved(effect.launch))
            case _:
                self._tell_qemu(effect)

    def _tell_qemu(self, effect: Effect) -> None:
        qemu = self.qemus.get(effect.launch)
        present = qemu is not None and qemu.alive and qemu.attended
        match effect:
            case fx.ExecuteQmp(launch=launch, command=command):
                if qemu is not None and present and qemu.tongue is Tongue.LOOSE:
                    self._execute(qemu, command)
                else:
                    self._report(_unanswered(launch, command.value))
            case fx.QueryRunState(launch=launch):
                if qemu is not None and present and qemu.tongue is Tongue.LOOSE:
                    self._say(qemu, ob.RunStateObserved(launch, qemu.run_state))
                else:
                    self._report(_unanswered(launch, "query-status"))
            case fx.SignalProcess(signal=signal) if qemu is not None and present:
                number = 15 if signal is ProcessSignal.TERM else 9
                self._die(qemu, ob.ExitEvidence(signal=number))
            case fx.StartComputation() if qemu is not None and qemu.guest is Guest.READY:
                qemu.guest = Guest.STARTED
            case fx.StopComputation() if qemu is not None and qemu.guest is Guest.STARTED:
                qemu.guest = Guest.FINISHED

    def _execute(self, qemu: Qemu, command: QmpCommand) -> None:
        match command:
            case QmpCommand.CONT if qemu.run_state in (RunState.PRELAUNCH, RunState.PAUSED):
                qemu.run_state = RunState.RUNNING
                self._say(qemu, ob.GuestResumed(qemu.launch))
            case QmpCommand.STOP if qemu.run_state is RunState.RUNNING:
                qemu.run_state = RunState.PAUSED
                self._say(qemu, ob.GuestStopped(qemu.launch))
            case QmpCommand.RESET:
                qemu.guest = Guest.READY
                self._say(qemu, ob.GuestWasReset(qemu.launch, by_guest=False))
            case QmpCommand.QUIT:
                self._die(qemu, EXIT)

    def _spawn(self, launch: int) -> None:
        assert launch not in self.qemus, "one launch was spawned twice"
        assert self.current is None, "a second QEMU was spawned beside a living one"
        qemu = self.qemus[launch] = Qemu(launch, self.random.choice(GUESTS))
        self._say(qemu, ob.QemuSpawned(launch, PROCESS))
        self._say(qemu, ob.QmpReady(launch, "7.2.0"))

    def _find(self, launch: int) -> Observation:
        qemu = self.qemus.get(launch)
        if qemu is None:
            return ob.NeverSpawned(launch)
        if not qemu.alive:
            return ob.ProcessExited(launch, ob.ExitEvidence())
        qemu.attended = True
        if qemu.tongue is Tongue.TIED:
            return ob.ProcessSilent(launch, "no greeting")
        return ob.Reattached(launch, PROCESS, qemu.run_state, EVIDENCE)

    def _collect(self, launch: int) -> Observation:
        assert not self.qemus[launch].alive, "the result was read while QEMU could change it"
        if self.qemus[launch].guest is Guest.FINISHED:
            return ob.ResultCollected(launch, SHA256, 2048, exit_code=0)
        return ob.ResultRefused(launch, "no header")

    def _fire(self, due_ms: int, deadline_ms: int) -> None:
        self.life.now_ms = max(self.life.now_ms, due_ms)
        both = (due_ms, deadline_ms)
        launch, kind = next(timer for timer, at in self.timers.items() if at == both)
        del self.timers[launch, kind]
        self.meet(ob.TimerFired(launch, kind, deadline_ms))

    def _guest_speaks(self, qemu: Qemu) -> None:
        seq = list(Guest).index(qemu.guest)
        match qemu.guest:
            case Guest.READY:
                self._say(qemu, ob.AgentReady(qemu.launch, seq))
            case Guest.STARTED:
                self._say(qemu, ob.AgentStarted(qemu.launch, seq))
                qemu.guest = Guest.FINISHED
            case Guest.FINISHED:
                self._say(qemu, ob.AgentFinished(qemu.launch, seq, exit_code=0, length=2048))

    def _go_down(self, qemu: Qemu, run_state: RunState, last_words: Observation) -> None:
        if qemu.run_state is RunState.RUNNING:
            qemu.run_state = run_state
            self._say(qemu, last_words)

    def _die(self, qemu: Qemu, evidence: ob.ExitEvidence) -> None:
        if qemu.alive:
            qemu.alive = False
            self._say(qemu, ob.ProcessExited(qemu.launch, evidence))

    def _say(self, qemu: Qemu, observation: Observation) -> None:
        if qemu.attended:
            self._report(observation)

    def _report(self, observation: Observation) -> None:
        self.pending.append(lambda: self.meet(observation))

    def _release(self, launch: int) -> None:
        for armed in [timer for timer in self.timers if timer[0] == launch]:
            del self.timers[armed]


def _unanswered(launch: int, command: str) -> ob.QmpCommandFailed:
    return ob.QmpCommandFailed(launch, command, "no answer", ob.QmpFailure.UNANSWERED)
