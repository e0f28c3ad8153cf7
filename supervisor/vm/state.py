"""What the supervisor knows of one VM; :mod:`supervisor.vm.evolve` folds it from the log.

All transitions between phases stand in :data:`TRANSITIONS`, and the picture in the docs is drawn
from it. Times are milliseconds since the epoch, UTC.
"""

from enum import Enum

import msgspec

from supervisor.vm import events as ev
from supervisor.vm.confidential import Evidence, GuestSession, SevClaims
from supervisor.vm.inputs import InputName, ProvidedInput, missing_inputs, with_inputs
from supervisor.vm.observations import Containment, ExitEvidence, ProcessIdentity, TimerKind
from supervisor.vm.spec import Manifest


class Phase(Enum):
    """Where a VM is in its life."""

    DEFINED = "defined"
    """Submitted or started again; the files of its next launch are being made."""
    QUEUED = "queued"
    """It wants a launch, and other VMs have their turn before it."""
    LAUNCHING = "launching"
    """A launch is intended: QEMU starts, and its CPUs have not run yet."""
    AWAITING_VERIFICATION = "awaiting-verification"
    """Its launch is measured, and waits for its owner's word; its CPUs have not run yet."""
    RUNNING = "running"
    """The guest's CPUs run."""
    PAUSED = "paused"
    """The guest's CPUs are frozen; its deadlines go on."""
    STOPPING = "stopping"
    """It is to end, and why is settled; QEMU is leaving, or its result is being read."""
    BACKOFF = "backoff"
    """Its launch ended, and its restart policy waits before the next."""
    AWAITING_SESSION = "awaiting-session"
    """Its next launch needs a session of its own, which its owner is to bring."""
    AWAITING_INPUTS = "awaiting-inputs"
    """Inputs are to come from their providers; no launch begins before."""
    STOPPED = "stopped"
    """It ended as somebody ordered, or with its work done."""
    FAILED = "failed"
    """It ended in a way that nobody ordered."""
    DELETED = "deleted"
    """Its files are gone; its history stays in the log."""


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.DEFINED: frozenset(
        {
            Phase.QUEUED,
            Phase.LAUNCHING,
            Phase.AWAITING_SESSION,
            Phase.AWAITING_INPUTS,
            Phase.BACKOFF,
            Phase.STOPPED,
            Phase.FAILED,
        }
    ),
    Phase.QUEUED: frozenset({Phase.LAUNCHING, Phase.BACKOFF, Phase.STOPPED, Phase.FAILED}),
    Phase.LAUNCHING: frozenset(
        {
            Phase.DEFINED,
            Phase.AWAITING_VERIFICATION,
            Phase.RUNNING,
            Phase.STOPPING,
            Phase.BACKOFF,
            Phase.FAILED,
        }
    ),
    Phase.AWAITING_VERIFICATION: frozenset(
        {Phase.LAUNCHING, Phase.STOPPING, Phase.BACKOFF, Phase.FAILED}
    ),
    Phase.RUNNING: frozenset({Phase.PAUSED, Phase.STOPPING, Phase.BACKOFF, Phase.FAILED}),
    Phase.PAUSED: frozenset({Phase.RUNNING, Phase.STOPPING, Phase.BACKOFF, Phase.FAILED}),
    Phase.STOPPING: frozenset({Phase.BACKOFF, Phase.STOPPED, Phase.FAILED}),
    Phase.BACKOFF: frozenset({Phase.DEFINED, Phase.STOPPED}),
    Phase.AWAITING_SESSION: frozenset({Phase.DEFINED, Phase.STOPPED, Phase.FAILED}),
    Phase.AWAITING_INPUTS: frozenset({Phase.DEFINED, Phase.STOPPED, Phase.FAILED}),
    Phase.STOPPED: frozenset({Phase.DEFINED, Phase.DELETED}),
    Phase.FAILED: frozenset({Phase.DEFINED, Phase.DELETED}),
    Phase.DELETED: frozenset(),
}
"""Every change of phase that may happen; staying is always allowed."""

ENDED = frozenset({Phase.STOPPED, Phase.FAILED, Phase.DELETED})
"""Phases that a VM leaves only on a client's order: to be launched once more, or deleted."""

STARTING = frozenset({Phase.LAUNCHING, Phase.AWAITING_VERIFICATION})
"""Phases of a launch whose CPUs have not run."""

ALIVE = STARTING | {Phase.RUNNING, Phase.PAUSED, Phase.STOPPING}
"""Phases of a launch that was intended and is not over."""

WAITING = frozenset({Phase.DEFINED, Phase.QUEUED})
"""Phases of a VM that is due to be launched."""


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


class AttestationStage(Enum):
    """How far a launch that is measured has come on its way to run."""

    NONE = "none"
    MEASURED = "measured"
    SECRET_ACCEPTED = "secret-accepted"
    SECRET_INJECTED = "secret-injected"
    APPROVED = "approved"


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
    host_ports: tuple[int, ...] = ()
    """Those that lead to the ports of the manifest's forwards, in their order."""
    process: ProcessIdentity | None = None
    qmp_version: str = ""
    containment: Containment | None = None
    agent: AgentStage = AgentStage.ABSENT
    finished: ev.ComputationFinished | None = None
    exit_evidence: ExitEvidence | None = None
    disk_failure: str = ""
    resets: int = 0
    guest_events: int = 0
    """Events that the guest alone can cause, bounded; an ordered reset begins the count anew."""
    reset_ordered_ms: int | None = None
    """When a reset was ordered that has not been seen yet."""
    suspended_since_ms: int | None = None
    session: GuestSession | None = None
    """The one that its owner brought for this launch and no other."""
    claims: SevClaims | None = None
    evidence: Evidence | None = None
    stage: AttestationStage = AttestationStage.NONE
    packet_sha256: str = ""
    """Of the secret that the launch may be given: there is never another."""
    awaited_reports: tuple[str, ...] = ()
    """The nonces, in hexadecimal, of reports that were asked for."""


class PreviousLaunch(msgspec.Struct, frozen=True):
    """How the launch before the current one ended."""

    number: int
    outcome: ev.Outcome
    detail: str
    ended_ms: int


class Ending(msgspec.Struct, frozen=True):
    """A stop that is under way: why, and the rung of the ladder that was taken last."""

    outcome: ev.Outcome
    step: ev.StopStep
    detail: str = ""


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
    unused_launches: int = 0
    """Numbers after the current launch's that went to preparations which nobody waited for."""
    restarts_ms: tuple[int, ...] = ()
    """When the restart policy had it launched again, within the policy's period."""
    previous: PreviousLaunch | None = None
    ticket: int | None = None
    """The place in the queue that it was given last; it counts in phase QUEUED."""
    relaunch_due_ms: int | None = None
    removal_failed_ms: int | None = None
    """Since when its files could not be removed, although that is ordered."""
    session: GuestSession | None = None
    """Of the next launch, where its owner verifies."""
    used_sessions: tuple[str, ...] = ()
    """The digests of the sessions of its launches, the latest last."""
    provided: tuple[ProvidedInput, ...] = ()
    """The inputs that came from their providers, in the order in which they came."""

    @property
    def inputs_ready(self) -> Manifest:
        """The manifest with the digests of what providers brought: what a launch is made of."""
        return with_inputs(self.manifest, self.provided)

    @property
    def missing_inputs(self) -> tuple[InputName, ...]:
        """The inputs that are to come from their providers and have not."""
        return missing_inputs(self.manifest, self.provided)

    @property
    def due_ms(self) -> int:
        """Since when the latest launch is due, or was: who waits longest goes first."""
        return self.created_ms if self.relaunch_due_ms is None else self.relaunch_due_ms

    @property
    def launch_number(self) -> int:
        """The number of the current launch; 0 before the first."""
        return self.launch.number if self.launch else 0

    @property
    def next_launch(self) -> int:
        """The number of the launch to come: of each number, files are made once in a life."""
        return self.launch_number + self.unused_launches + 1

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
