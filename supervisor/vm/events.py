"""Facts of one VM's life, past tense. State is a fold of these and of nothing else.

A class may be renamed; its tag in :data:`TAGS` is what the log holds and never changes. A field
that is added needs a default, so that old logs still read; any other change needs a new tag.
When a thing happened is the record's own time; an event holds only times that lie ahead of it, in
milliseconds since the epoch, UTC.
"""

from enum import Enum

import msgspec

from supervisor.vm.attestation_events import AttestationEvent as AttestationEvent
from supervisor.vm.attestation_events import LaunchApproved as LaunchApproved
from supervisor.vm.attestation_events import LaunchBypassed as LaunchBypassed
from supervisor.vm.attestation_events import LaunchMeasured as LaunchMeasured
from supervisor.vm.attestation_events import LaunchRejected as LaunchRejected
from supervisor.vm.attestation_events import ReportReceived as ReportReceived
from supervisor.vm.attestation_events import ReportRefused as ReportRefused
from supervisor.vm.attestation_events import ReportRequested as ReportRequested
from supervisor.vm.attestation_events import SecretAccepted as SecretAccepted
from supervisor.vm.attestation_events import SecretInjected as SecretInjected
from supervisor.vm.attestation_events import SessionAwaited as SessionAwaited
from supervisor.vm.attestation_events import SessionProvided as SessionProvided
from supervisor.vm.attestation_events import VerifiedBy as VerifiedBy
from supervisor.vm.confidential import SevClaims
from supervisor.vm.input_events import InputEvent as InputEvent
from supervisor.vm.input_events import InputProvided as InputProvided
from supervisor.vm.input_events import InputsAwaited as InputsAwaited
from supervisor.vm.observations import (
    Containment,
    ExitEvidence,
    LaunchImages,
    ProcessIdentity,
    ReadyBy,
    RunState,
    ShutdownCause,
)
from supervisor.vm.spec import Manifest


class Outcome(Enum):
    """Why a VM ended: apart from the phase it ended in, and always with evidence beside it."""

    COMPLETED = "completed"
    COMPUTATION_FAILED = "computation-failed"
    GUEST_PANICKED = "guest-panicked"
    GUEST_POWERED_OFF = "guest-powered-off"
    GUEST_REBOOTED = "guest-rebooted"
    GUEST_HUNG = "guest-hung"
    STOPPED_BY_CLIENT = "stopped-by-client"
    KILLED_BY_CLIENT = "killed-by-client"
    STOPPED_BY_HOST = "stopped-by-host"
    TTL_EXPIRED = "ttl-expired"
    LAUNCH_DEADLINE = "launch-deadline"
    AGENT_BROKE_PROTOCOL = "agent-broke-protocol"
    RESULT_REFUSED = "result-refused"
    HOST_DISK_FAILED = "host-disk-failed"
    QEMU_CRASHED = "qemu-crashed"
    QEMU_FAILED_TO_START = "qemu-failed-to-start"
    LOST_BY_REBOOT = "lost-by-reboot"
    ATTESTATION_FAILED = "attestation-failed"
    LAUNCH_REJECTED = "launch-rejected"
    VERIFICATION_DEADLINE = "verification-deadline"
    SESSION_DEADLINE = "session-deadline"
    LAUNCH_BYPASSED = "launch-bypassed"
    INPUTS_DEADLINE = "inputs-deadline"


class StopStep(Enum):
    """The rungs of the stop ladder, gentlest first."""

    ASK_GUEST = "ask-guest"
    QUIT = "quit"
    TERMINATE = "terminate"
    KILL = "kill"


class ComputationSubmitted(msgspec.Struct, frozen=True):
    """The first event of a VM. ``digest`` is SHA-256 over the RFC 8785 JSON of the manifest."""

    manifest: Manifest
    digest: str


class Queued(msgspec.Struct, frozen=True):
    """As many VMs run as may; of those that wait, the one with the lowest ticket is next."""

    launch: int
    ticket: int


class LaunchIntended(msgspec.Struct, frozen=True):
    """Durable before anything is spawned; ``host_ports`` has one for each forward.

    ``session_sha256`` names the session of a confidential launch: it serves no other.
    """

    launch: int
    directory: str
    uuid: str
    argv: tuple[str, ...]
    argv_sha256: str
    images: LaunchImages
    accel: str
    deadline_ms: int
    host_ports: tuple[int, ...] = ()
    claims: SevClaims | None = None
    session_sha256: str = ""


class QemuSpawned(msgspec.Struct, frozen=True):
    launch: int
    process: ProcessIdentity


class QmpReady(msgspec.Struct, frozen=True):
    launch: int
    qemu_version: str
    containment: Containment | None = None


class GuestStarted(msgspec.Struct, frozen=True):
    """The guest's CPUs run for the first time in this launch; the TTL counts from here.

    A guest with an agent of its own has to be ready first: its TTL counts from GuestReady.
    """

    launch: int
    ttl_deadline_ms: int


class AgentReady(msgspec.Struct, frozen=True):
    launch: int


class ComputationStarted(msgspec.Struct, frozen=True):
    launch: int


class ProgressReported(msgspec.Struct, frozen=True):
    launch: int
    fraction: float
    message: str


class ComputationFinished(msgspec.Struct, frozen=True):
    launch: int
    exit_code: int
    length: int
    error: str
    message: str


class GuestReady(msgspec.Struct, frozen=True):
    """A guest with an agent of its own is up; it is nobody's business here what it does."""

    launch: int
    by: ReadyBy
    ttl_deadline_ms: int


class PauseOrdered(msgspec.Struct, frozen=True):
    launch: int


class ResumeOrdered(msgspec.Struct, frozen=True):
    launch: int


class ResetOrdered(msgspec.Struct, frozen=True):
    launch: int


class GuestPaused(msgspec.Struct, frozen=True):
    launch: int


class GuestResumed(msgspec.Struct, frozen=True):
    launch: int


class GuestReset(msgspec.Struct, frozen=True):
    """The guest boots again within the launch and gets a new deadline to start the algorithm."""

    launch: int
    by_guest: bool
    deadline_ms: int


class GuestPanicked(msgspec.Struct, frozen=True):
    launch: int


class GuestDiskFailed(msgspec.Struct, frozen=True):
    """The host failed to read or write one of the guest's disks; only the first time is told."""

    launch: int
    disk: str
    detail: str


class GuestShutDown(msgspec.Struct, frozen=True):
    launch: int
    cause: ShutdownCause


class GuestHung(msgspec.Struct, frozen=True):
    """The guest did not feed its watchdog in time."""

    launch: int


class GuestSuspended(msgspec.Struct, frozen=True):
    """The guest put its machine to sleep (ACPI S3); its deadlines go on."""

    launch: int


class GuestWoke(msgspec.Struct, frozen=True):
    launch: int


class GuestCrashLoaded(msgspec.Struct, frozen=True):
    """The guest's kernel panicked, and its own crash kernel took over."""

    launch: int


class MemoryFailed(msgspec.Struct, frozen=True):
    """The host's memory has an error that concerns the guest."""

    launch: int
    detail: str


class AgentBrokeProtocol(msgspec.Struct, frozen=True):
    launch: int
    detail: str


class StopOrdered(msgspec.Struct, frozen=True):
    """The VM is to end, and why; durable before the first rung of the ladder is tried."""

    launch: int
    outcome: Outcome
    step: StopStep
    deadline_ms: int
    detail: str = ""


class StopEscalated(msgspec.Struct, frozen=True):
    """The step before did not end the VM in time, or cannot be taken."""

    launch: int
    step: StopStep
    deadline_ms: int


class QmpCommandFailed(msgspec.Struct, frozen=True):
    launch: int
    command: str
    detail: str


class ContactLost(msgspec.Struct, frozen=True):
    """QMP is silent; the phase stays what it was, because silent is not gone."""

    launch: int
    detail: str


class ObservationGap(msgspec.Struct, frozen=True):
    """What QEMU said between these two times may have been missed."""

    launch: int
    from_ms: int
    to_ms: int
    dropped: int = 0


class Adopted(msgspec.Struct, frozen=True):
    """A running QEMU is attended to again, with the proofs that it is the one of this launch."""

    launch: int
    process: ProcessIdentity
    run_state: RunState
    evidence: tuple[str, ...]
    containment: Containment | None = None


class LaunchAbandoned(msgspec.Struct, frozen=True):
    """An intent that never became a process; another launch follows."""

    launch: int


class ObservationIgnored(msgspec.Struct, frozen=True):
    """A late word of an earlier launch: recorded, never believed."""

    launch: int
    kind: str
    current_launch: int


class ProcessExited(msgspec.Struct, frozen=True):
    launch: int
    evidence: ExitEvidence


class ResultRecorded(msgspec.Struct, frozen=True):
    """The result archive is in the artifact store; ``exit_code`` is what the disk's header says."""

    launch: int
    sha256: str
    size: int
    exit_code: int


class ResultRefused(msgspec.Struct, frozen=True):
    launch: int
    detail: str


class LaunchEnded(msgspec.Struct, frozen=True):
    """A launch ended, and the restart policy has another follow at ``deadline_ms``.

    ``restart`` counts those of the policy's period, this one included.
    """

    launch: int
    outcome: Outcome
    detail: str
    restart: int
    deadline_ms: int


class BackoffElapsed(msgspec.Struct, frozen=True):
    """The wait is over; the files of the next launch are made."""

    launch: int


class StartOrdered(msgspec.Struct, frozen=True):
    """A client has the VM launched once more; the restarts of its policy count anew."""

    launch: int


class RestartCancelled(msgspec.Struct, frozen=True):
    """A client ordered the end of a VM whose launch was ending: no other follows."""

    launch: int


class VmStopped(msgspec.Struct, frozen=True):
    """The VM ended as somebody ordered, or with its work done."""

    launch: int
    outcome: Outcome
    detail: str


class VmFailed(msgspec.Struct, frozen=True):
    """The VM ended in a way that nobody ordered."""

    launch: int
    outcome: Outcome
    detail: str


class DeleteOrdered(msgspec.Struct, frozen=True):
    launch: int


class RemovalFailed(msgspec.Struct, frozen=True):
    """Something on the disk cannot be removed; the VM stays until it is gone."""

    launch: int
    detail: str


class VmDeleted(msgspec.Struct, frozen=True):
    launch: int


Event = (
    ComputationSubmitted
    | Queued
    | LaunchIntended
    | QemuSpawned
    | QmpReady
    | GuestStarted
    | AgentReady
    | ComputationStarted
    | ProgressReported
    | ComputationFinished
    | GuestReady
    | PauseOrdered
    | ResumeOrdered
    | ResetOrdered
    | GuestPaused
    | GuestResumed
    | GuestReset
    | GuestPanicked
    | GuestDiskFailed
    | GuestShutDown
    | GuestHung
    | GuestSuspended
    | GuestWoke
    | GuestCrashLoaded
    | MemoryFailed
    | AgentBrokeProtocol
    | StopOrdered
    | StopEscalated
    | QmpCommandFailed
    | ContactLost
    | ObservationGap
    | Adopted
    | LaunchAbandoned
    | ObservationIgnored
    | ProcessExited
    | ResultRecorded
    | ResultRefused
    | LaunchEnded
    | BackoffElapsed
    | StartOrdered
    | RestartCancelled
    | VmStopped
    | VmFailed
    | DeleteOrdered
    | RemovalFailed
    | VmDeleted
    | InputEvent
    | AttestationEvent
)

TAGS: dict[type[Event], str] = {
    ComputationSubmitted: "vm.submitted.v1",
    Queued: "vm.queued.v1",
    LaunchIntended: "vm.launch-intended.v1",
    QemuSpawned: "vm.qemu-spawned.v1",
    QmpReady: "vm.qmp-ready.v1",
    GuestStarted: "vm.guest-started.v1",
    AgentReady: "vm.agent-ready.v1",
    ComputationStarted: "vm.computation-started.v1",
    ProgressReported: "vm.progress-reported.v1",
    ComputationFinished: "vm.computation-finished.v1",
    GuestReady: "vm.guest-ready.v1",
    PauseOrdered: "vm.pause-ordered.v1",
    ResumeOrdered: "vm.resume-ordered.v1",
    ResetOrdered: "vm.reset-ordered.v1",
    GuestPaused: "vm.guest-paused.v1",
    GuestResumed: "vm.guest-resumed.v1",
    GuestReset: "vm.guest-reset.v1",
    GuestPanicked: "vm.guest-panicked.v1",
    GuestDiskFailed: "vm.guest-disk-failed.v1",
    GuestShutDown: "vm.guest-shut-down.v1",
    GuestHung: "vm.guest-hung.v1",
    GuestSuspended: "vm.guest-suspended.v1",
    GuestWoke: "vm.guest-woke.v1",
    GuestCrashLoaded: "vm.guest-crash-loaded.v1",
    MemoryFailed: "vm.memory-failed.v1",
    AgentBrokeProtocol: "vm.agent-broke-protocol.v1",
    StopOrdered: "vm.stop-ordered.v1",
    StopEscalated: "vm.stop-escalated.v1",
    QmpCommandFailed: "vm.qmp-command-failed.v1",
    ContactLost: "vm.contact-lost.v1",
    ObservationGap: "vm.observation-gap.v1",
    Adopted: "vm.adopted.v1",
    LaunchAbandoned: "vm.launch-abandoned.v1",
    ObservationIgnored: "vm.observation-ignored.v1",
    ProcessExited: "vm.process-exited.v1",
    ResultRecorded: "vm.result-recorded.v1",
    ResultRefused: "vm.result-refused.v1",
    LaunchEnded: "vm.launch-ended.v1",
    BackoffElapsed: "vm.backoff-elapsed.v1",
    StartOrdered: "vm.start-ordered.v1",
    RestartCancelled: "vm.restart-cancelled.v1",
    VmStopped: "vm.stopped.v1",
    VmFailed: "vm.failed.v1",
    DeleteOrdered: "vm.delete-ordered.v1",
    RemovalFailed: "vm.removal-failed.v1",
    VmDeleted: "vm.deleted.v1",
    InputsAwaited: "vm.inputs-awaited.v1",
    InputProvided: "vm.input-provided.v1",
    SessionAwaited: "vm.session-awaited.v1",
    SessionProvided: "vm.session-provided.v1",
    LaunchMeasured: "vm.launch-measured.v1",
    SecretAccepted: "vm.secret-accepted.v1",
    SecretInjected: "vm.secret-injected.v1",
    LaunchApproved: "vm.launch-approved.v1",
    LaunchRejected: "vm.launch-rejected.v1",
    LaunchBypassed: "vm.launch-bypassed.v1",
    ReportRequested: "vm.report-requested.v1",
    ReportReceived: "vm.report-received.v1",
    ReportRefused: "vm.report-refused.v1",
}
