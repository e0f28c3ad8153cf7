"""What the supervisor knows of one VM; :mod:`supervisor.vm.evolve` folds it from the log.

All transitions between phases stand in :data:`TRANSITIONS`, and the picture in the docs is drawn
from it. Times are milliseconds since the epoch, UTC.
"""

from enum import Enum

import msgspec

from supervisor.vm import events as ev
from supervisor.vm.observations import ExitEvidence, ProcessIdentity, TimerKind
from supervisor.vm.spec import Manifest


class Phase(Enum):
    """Where a VM is in its life."""

    DEFINED = "defined"
    """Submitted; the files of its next launch are being made."""
    LAUNCHING = "launching"
    """A launch is intended: QEMU starts, and its CPUs have not run yet."""
    RUNNING = "running"
    """The guest's CPUs run."""
    PAUSED = "paused"
    """The guest's CPUs are frozen; its deadlines go on."""
    STOPPING = "stopping"
    """It is to end, and why is settled; QEMU is leaving, or its result is being read."""
    STOPPED = "stopped"
    """It ended as somebody ordered, or with its work done."""
    FAILED = "failed"
    """It ended in a way that nobody ordered."""
    DELETED = "deleted"
    """Its files are gone; its history stays in the log."""


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.DEFINED: frozenset({Phase.LAUNCHING, Phase.STOPPED, Phase.FAILED}),
    Phase.LAUNCHING: frozenset({Phase.DEFINED, Phase.RUNNING, Phase.STOPPING, Phase.FAILED}),
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
    disk_failure: str = ""
    resets: int = 0
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
