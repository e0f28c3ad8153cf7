"""What the log says about one VM: a fold of its events, and nothing else.

Two rules. All transitions between phases stand in :data:`TRANSITIONS`; :func:`evolve` is total over
the events and never asks the world anything, so that replaying a log is always the same. When an
event happened is the time of its record, in milliseconds since the epoch, UTC.
"""

from collections.abc import Iterable
from enum import Enum

import msgspec

from supervisor.vm import events as ev
from supervisor.vm.observations import ExitEvidence, ProcessIdentity, TimerKind
from supervisor.vm.spec import Manifest


class Phase(Enum):
    """Where a VM is in its life."""

    DEFINED = "defined"
    LAUNCHING = "launching"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETED = "deleted"


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.DEFINED: frozenset({Phase.LAUNCHING, Phase.STOPPED, Phase.FAILED}),
    Phase.LAUNCHING: frozenset(
        {Phase.DEFINED, Phase.RUNNING, Phase.STOPPING, Phase.STOPPED, Phase.FAILED}
    ),
    Phase.RUNNING: frozenset({Phase.PAUSED, Phase.STOPPING, Phase.FAILED}),
    Phase.PAUSED: frozenset({Phase.RUNNING, Phase.STOPPING, Phase.FAILED}),
    Phase.STOPPING: frozenset({Phase.STOPPED, Phase.FAILED}),
    Phase.STOPPED: frozenset({Phase.DELETED}),
    Phase.FAILED: frozenset({Phase.DELETED}),
    Phase.DELETED: frozenset(),
}
"""Every change of phase that may happen; staying is always allowed."""

ENDED = frozenset({Phase.STOPPED, Phase.FAILED, Phase.DELETED})
"""Phases that a VM leaves only to be deleted."""

ALIVE = frozenset({Phase.LAUNCHING, Phase.RUNNING, Phase.PAUSED, Phase.STOPPING})
"""Phases of a launch that was intended and is not over."""


class Desired(Enum):
    """What the VM was last ordered to be; what it is, is its phase."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    DELETED = "deleted"


class AgentStage(Enum):
    """How far the guest's agent has come in this launch."""

    ABSENT = "absent"
    READY = "ready"
    STARTED = "started"
    FINISHED = "finished"


class Progress(msgspec.Struct, frozen=True):
    """The last word of the algorithm about itself; ``fraction`` lies in 0..1."""

    fraction: float
    message: str
    reported_ms: int


class Result(msgspec.Struct, frozen=True):
    """The archive that the computation left, as an artifact of the store."""

    sha256: str
    size: int


class Launch(msgspec.Struct, frozen=True):
    """The current start of the VM's QEMU, and what has been seen of it."""

    number: int
    directory: str
    uuid: str
    accel: str
    intended_ms: int
    process: ProcessIdentity | None = None
    qmp_version: str = ""
    agent: AgentStage = AgentStage.ABSENT
    finished: ev.ComputationFinished | None = None
    exit_evidence: ExitEvidence | None = None
    progress_reports: int = 0
    """Events that the guest alone can cause, counted to bound them."""


class Ending(msgspec.Struct, frozen=True):
    """A stop that is under way: why, and the rung of the ladder that was taken last."""

    outcome: ev.Outcome
    step: ev.StopStep


class VmState(msgspec.Struct, frozen=True):
    """All that the supervisor knows of one VM.

    ``version`` is its stream's version in the log, ``seen_ms`` the time of its last event.
    """

    vm_id: str
    manifest: Manifest
    digest: str
    tenant: str
    principal: str
    created_ms: int
    seen_ms: int
    version: int = 1
    phase: Phase = Phase.DEFINED
    launch: Launch | None = None
    deadlines: dict[TimerKind, int] = {}
    desired: Desired = Desired.RUNNING
    ending: Ending | None = None
    outcome: ev.Outcome | None = None
    detail: str = ""
    exit_code: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    progress: Progress | None = None
    result: Result | None = None
    silent_since_ms: int | None = None

    @property
    def launch_number(self) -> int:
        """The number of the current launch; 0 before the first."""
        return self.launch.number if self.launch else 0

    @property
    def current(self) -> Launch:
        """The current launch, where the phase says that there is one."""
        if self.launch is None:
            raise AssertionError(f"{self.vm_id} has no launch in {self.phase}")
        return self.launch

    @property
    def has_process(self) -> bool:
        """Whether, as far as is known, a QEMU of the current launch may be alive."""
        return self.phase in ALIVE and self.current.exit_evidence is None


def define(
    event: ev.ComputationSubmitted, at_ms: int, *, vm_id: str, tenant: str, principal: str
) -> VmState:
    """Return the state after a VM's first event."""
    return VmState(
        vm_id=vm_id,
        manifest=event.manifest,
        digest=event.digest,
        tenant=tenant,
        principal=principal,
        created_ms=at_ms,
        seen_ms=at_ms,
    )


def fold(state: VmState, events: Iterable[ev.Event], at_ms: int) -> VmState:
    """Return ``state`` after ``events``, all of the same moment."""
    for event in events:
        state = evolve(state, event, at_ms)
    return state


def evolve(state: VmState, event: ev.Event, at_ms: int) -> VmState:
    """Return the state after one more event.

    Raises AssertionError for a change of phase that :data:`TRANSITIONS` does not know.
    """
    after = _apply(_with(state, seen_ms=at_ms, version=state.version + 1), event)
    if after.phase is not state.phase and after.phase not in TRANSITIONS[state.phase]:
        raise AssertionError(f"{type(event).__name__}: {state.phase} -> {after.phase}")
    return after


def _apply(state: VmState, event: ev.Event) -> VmState:
    match event:
        case ev.ComputationSubmitted():
            raise AssertionError("a VM is submitted once; define() makes its first state")
        case (
            ev.LaunchIntended()
            | ev.QemuSpawned()
            | ev.QmpReady()
            | ev.GuestStarted()
            | ev.LaunchAbandoned()
            | ev.Adopted()
        ):
            return _apply_launch(state, event)
        case (
            ev.AgentReady()
            | ev.ComputationStarted()
            | ev.ProgressReported()
            | ev.ComputationFinished()
            | ev.AgentBrokeProtocol()
        ):
            return _apply_agent(state, event)
        case (
            ev.PauseOrdered()
            | ev.ResumeOrdered()
            | ev.ResetOrdered()
            | ev.GuestPaused()
            | ev.GuestResumed()
            | ev.GuestReset()
            | ev.GuestPanicked()
            | ev.GuestShutDown()
        ):
            return _apply_guest(state, event)
        case (
            ev.QmpCommandFailed() | ev.ContactLost() | ev.ObservationGap() | ev.ObservationIgnored()
        ):
            return _apply_contact(state, event)
        case _:
            return _apply_end(state, event)


def _apply_launch(
    state: VmState,
    event: ev.LaunchIntended
    | ev.QemuSpawned
    | ev.QmpReady
    | ev.GuestStarted
    | ev.LaunchAbandoned
    | ev.Adopted,
) -> VmState:
    match event:
        case ev.LaunchIntended():
            launch = Launch(event.launch, event.directory, event.uuid, event.accel, state.seen_ms)
            deadlines = {TimerKind.LAUNCH: event.deadline_ms}
            return _with(state, phase=Phase.LAUNCHING, launch=launch, deadlines=deadlines)
        case ev.QemuSpawned():
            return _with_launch(state, process=event.process)
        case ev.QmpReady():
            return _with_launch(state, qmp_version=event.qemu_version)
        case ev.GuestStarted():
            deadlines = state.deadlines | {TimerKind.TTL: event.ttl_deadline_ms}
            started = _with(state, started_ms=state.seen_ms, deadlines=deadlines)
            return _with(started, phase=Phase.RUNNING)
        case ev.LaunchAbandoned():
            return _with(state, phase=Phase.DEFINED, deadlines={}, silent_since_ms=None)
        case ev.Adopted():
            return _with_launch(_with(state, silent_since_ms=None), process=event.process)


def _apply_agent(
    state: VmState,
    event: ev.AgentReady
    | ev.ComputationStarted
    | ev.ProgressReported
    | ev.ComputationFinished
    | ev.AgentBrokeProtocol,
) -> VmState:
    match event:
        case ev.AgentReady():
            return _with_launch(state, agent=AgentStage.READY)
        case ev.ComputationStarted():
            started = _with_launch(state, agent=AgentStage.STARTED)
            return _without_deadline(started, TimerKind.LAUNCH)
        case ev.ProgressReported():
            progress = Progress(event.fraction, event.message, state.seen_ms)
            counted = _with_launch(state, progress_reports=state.current.progress_reports + 1)
            return _with(counted, progress=progress)
        case ev.ComputationFinished():
            finished = _with_launch(state, agent=AgentStage.FINISHED, finished=event)
            return _with(finished, exit_code=event.exit_code)
        case ev.AgentBrokeProtocol():
            return state


def _apply_guest(
    state: VmState,
    event: ev.PauseOrdered
    | ev.ResumeOrdered
    | ev.ResetOrdered
    | ev.GuestPaused
    | ev.GuestResumed
    | ev.GuestReset
    | ev.GuestPanicked
    | ev.GuestShutDown,
) -> VmState:
    match event:
        case ev.PauseOrdered():
            return _with(state, desired=Desired.PAUSED)
        case ev.ResumeOrdered():
            return _with(state, desired=Desired.RUNNING)
        case ev.GuestPaused():
            return _with(state, phase=Phase.PAUSED)
        case ev.GuestResumed():
            return _with(state, phase=Phase.RUNNING)
        case ev.GuestReset():
            again = _with_launch(state, agent=AgentStage.ABSENT, finished=None)
            deadlines = again.deadlines | {TimerKind.LAUNCH: event.deadline_ms}
            return _with(again, deadlines=deadlines, progress=None)
        case ev.ResetOrdered() | ev.GuestPanicked() | ev.GuestShutDown():
            return state


def _apply_contact(
    state: VmState,
    event: ev.QmpCommandFailed | ev.ContactLost | ev.ObservationGap | ev.ObservationIgnored,
) -> VmState:
    match event:
        case ev.ContactLost():
            return _with(state, silent_since_ms=state.seen_ms)
        case ev.QmpCommandFailed() | ev.ObservationGap() | ev.ObservationIgnored():
            return state


def _apply_end(
    state: VmState,
    event: ev.StopOrdered
    | ev.StopEscalated
    | ev.ProcessExited
    | ev.ResultRecorded
    | ev.ResultRefused
    | ev.VmStopped
    | ev.VmFailed
    | ev.DeleteOrdered
    | ev.VmDeleted,
) -> VmState:
    match event:
        case ev.StopOrdered():
            ending = Ending(event.outcome, event.step)
            ordered = _with(state, ending=ending, desired=Desired.ENDED)
            deadlines = {TimerKind.STOP: event.deadline_ms}
            return _with(ordered, phase=Phase.STOPPING, deadlines=deadlines)
        case ev.StopEscalated():
            if state.ending is None:
                raise AssertionError("a stop that was never ordered cannot escalate")
            ending = Ending(state.ending.outcome, event.step)
            deadlines = state.deadlines | {TimerKind.STOP: event.deadline_ms}
            return _with(state, ending=ending, deadlines=deadlines)
        case ev.ProcessExited():
            exited = _with_launch(state, exit_evidence=event.evidence)
            return _with(exited, deadlines={}, silent_since_ms=None)
        case ev.ResultRecorded():
            result = Result(event.sha256, event.size)
            return _with(state, result=result, exit_code=event.exit_code)
        case ev.ResultRefused():
            return state
        case ev.VmStopped():
            return _ended(state, Phase.STOPPED, event)
        case ev.VmFailed():
            return _ended(state, Phase.FAILED, event)
        case ev.DeleteOrdered():
            return _with(state, desired=Desired.DELETED)
        case ev.VmDeleted():
            return _with(state, phase=Phase.DELETED)


def _ended(state: VmState, phase: Phase, event: ev.VmStopped | ev.VmFailed) -> VmState:
    return _with(
        state,
        phase=phase,
        outcome=event.outcome,
        detail=event.detail,
        ended_ms=state.seen_ms,
        deadlines={},
        silent_since_ms=None,
    )


def _without_deadline(state: VmState, kind: TimerKind) -> VmState:
    return _with(state, deadlines={k: at for k, at in state.deadlines.items() if k is not kind})


def _with_launch(state: VmState, **changes: object) -> VmState:
    return _with(state, launch=msgspec.structs.replace(state.current, **changes))


def _with(state: VmState, **changes: object) -> VmState:
    return msgspec.structs.replace(state, **changes)
