"""What the world did. An observation may not be denied, only judged stale by its launch number."""

from enum import Enum

import msgspec

from supervisor.vm.confidential import Evidence, GuestSession, SevClaims, SevPlatform


class RunState(Enum):
    """QEMU's answer to ``query-status`` (qapi/run-state.json, RunState), folded to what matters."""

    PRELAUNCH = "prelaunch"
    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SHUTDOWN = "shutdown"
    PANICKED = "guest-panicked"
    HUNG = "watchdog"
    DISK_FAILED = "io-error"
    ERROR = "error"


class ShutdownCause(Enum):
    """The ``reason`` of QMP's SHUTDOWN event (ShutdownCause), folded to who was behind it."""

    GUEST_SHUTDOWN = "guest-shutdown"
    GUEST_RESET = "guest-reset"
    GUEST_PANIC = "guest-panic"
    HOST_QUIT = "host-quit"
    HOST_SIGNAL = "host-signal"
    UNKNOWN = "unknown"


class ReadyBy(Enum):
    """How a guest with an agent of its own was seen to be ready."""

    PORT = "port"
    CONSOLE = "console"


class TimerKind(Enum):
    """The deadlines of a launch; at most one timer of each kind is armed.

    BACKOFF, SESSION and INPUTS are of the launch that is to come, REMOVAL of the files of a VM that
    is to be deleted.
    """

    LAUNCH = "launch"
    TTL = "ttl"
    STOP = "stop"
    CONTACT = "contact"
    BACKOFF = "backoff"
    REMOVAL = "removal"
    VERIFICATION = "verification"
    SESSION = "session"
    INPUTS = "inputs"


class Image(msgspec.Struct, frozen=True):
    """A file that a launch is made of; ``name`` is the catalogue name or empty."""

    path: str
    sha256: str
    size: int
    name: str = ""


class LaunchImages(msgspec.Struct, frozen=True):
    """Every file that decides what a launch runs, pinned by digest."""

    qemu: Image
    kernel: Image
    initrd: Image
    initrd_layers: tuple[Image, ...]
    inputs: Image
    firmware: Image | None = None
    firmware_vars: Image | None = None
    """The VM's own copy, with the digest that it had before this launch."""


class ProcessIdentity(msgspec.Struct, frozen=True):
    """What names one process for ever: a bare PID is reused, these three together are not.

    ``start_ticks`` is field 22 of ``/proc/PID/stat``; ``boot_id`` is the kernel's random boot id.
    """

    pid: int
    start_ticks: int
    boot_id: str


class Containment(msgspec.Struct, frozen=True):
    """What holds a running QEMU, as the kernel tells it.

    ``cgroup`` is its path in the cgroup v2 hierarchy where limits are in force there, else empty:
    then only resource limits bound it. Each of ``limits`` is one word and its value.
    """

    user: str
    cgroup: str
    limits: tuple[str, ...]


class ExitEvidence(msgspec.Struct, frozen=True):
    """How a process ended and what it last said.

    Exactly one of ``exit_code`` and ``signal`` is set when we were its parent; neither after an
    adoption, because only a parent learns the status.
    """

    exit_code: int | None = None
    signal: int | None = None
    stderr: str = ""
    console: str = ""


class Queued(msgspec.Struct, frozen=True):
    """As many VMs run as may; the one with the lowest ticket is next."""

    launch: int
    ticket: int


class Reserved(msgspec.Struct, frozen=True):
    """The launch may begin, with these ports of the host, one for each forward."""

    launch: int
    host_ports: tuple[int, ...]


class ReservationRefused(msgspec.Struct, frozen=True):
    """The network that the launch needs cannot be had."""

    launch: int
    detail: str


class LaunchPrepared(msgspec.Struct, frozen=True):
    """Everything that a launch needs lies ready in ``directory``.

    ``session`` is the one that the host made itself, where it is trusted to verify.
    """

    launch: int
    directory: str
    images: LaunchImages
    accel: str
    host_ports: tuple[int, ...] = ()
    platform: SevPlatform | None = None
    claims: SevClaims | None = None
    session: GuestSession | None = None


class LaunchImpossible(msgspec.Struct, frozen=True):
    """A launch could not be prepared."""

    launch: int
    detail: str


class QemuSpawned(msgspec.Struct, frozen=True):
    launch: int
    process: ProcessIdentity


class SpawnFailed(msgspec.Struct, frozen=True):
    launch: int
    detail: str


class QmpReady(msgspec.Struct, frozen=True):
    """Greeting and capabilities are done and ``query-uuid`` named this very launch."""

    launch: int
    qemu_version: str
    containment: Containment | None = None


class QmpLost(msgspec.Struct, frozen=True):
    """The QMP connection broke or went silent although nobody saw the process end."""

    launch: int
    detail: str


class QmpFailure(Enum):
    """What became of a command that was not done."""

    REFUSED = "refused"
    """QEMU answered with an error: it will not do it."""
    UNANSWERED = "unanswered"
    """Nothing that can be understood came back: it may have been done."""


class QmpCommandFailed(msgspec.Struct, frozen=True):
    """QEMU answered a command with an error, or did not answer in time."""

    launch: int
    command: str
    detail: str
    failure: QmpFailure = QmpFailure.REFUSED


class ObservationsDropped(msgspec.Struct, frozen=True):
    """QEMU spoke faster than we could take it; ``count`` QMP events went unread."""

    launch: int
    count: int


class RunStateObserved(msgspec.Struct, frozen=True):
    """What QEMU was found to do when it was asked, because events may have been missed."""

    launch: int
    run_state: RunState


class GuestStopped(msgspec.Struct, frozen=True):
    """QMP STOP: the CPUs are frozen."""

    launch: int


class GuestResumed(msgspec.Struct, frozen=True):
    """QMP RESUME: the CPUs run."""

    launch: int


class GuestWasReset(msgspec.Struct, frozen=True):
    """QMP RESET."""

    launch: int
    by_guest: bool


class GuestShutDown(msgspec.Struct, frozen=True):
    """QMP SHUTDOWN."""

    launch: int
    cause: ShutdownCause


class GuestPanicked(msgspec.Struct, frozen=True):
    """QMP GUEST_PANICKED."""

    launch: int


class GuestDiskFailed(msgspec.Struct, frozen=True):
    """QMP BLOCK_IO_ERROR: the host could not read or write for the guest, which was told."""

    launch: int
    disk: str
    detail: str


class GuestHung(msgspec.Struct, frozen=True):
    """QMP WATCHDOG: the guest has not fed its watchdog in time, and its CPUs are frozen."""

    launch: int


class GuestSuspended(msgspec.Struct, frozen=True):
    """QMP SUSPEND: the guest sleeps (ACPI S3)."""

    launch: int


class GuestWoke(msgspec.Struct, frozen=True):
    """QMP WAKEUP."""

    launch: int


class GuestCrashLoaded(msgspec.Struct, frozen=True):
    """QMP GUEST_CRASHLOADED: the guest's kernel panicked, and its crash kernel runs on."""

    launch: int


class MemoryFailed(msgspec.Struct, frozen=True):
    """QMP MEMORY_FAILURE: the host's memory has an error that concerns the guest."""

    launch: int
    detail: str


class AgentReady(msgspec.Struct, frozen=True):
    launch: int
    seq: int


class AgentStarted(msgspec.Struct, frozen=True):
    launch: int
    seq: int


class AgentProgress(msgspec.Struct, frozen=True):
    """``fraction`` lies in 0..1."""

    launch: int
    fraction: float
    message: str


class AgentFinished(msgspec.Struct, frozen=True):
    """The algorithm ended; ``length`` is the size in bytes of the archive on the results disk.

    ``error`` is empty or one of the agent protocol's error codes.
    """

    launch: int
    seq: int
    exit_code: int
    length: int
    error: str = ""
    message: str = ""


class AgentBrokeProtocol(msgspec.Struct, frozen=True):
    """The agent sent something that is not the protocol: too long, not JSON, not its launch."""

    launch: int
    detail: str


class GuestReady(msgspec.Struct, frozen=True):
    """A guest with an agent of its own took a connection, or said the line that was waited for."""

    launch: int
    by: ReadyBy


class ProcessExited(msgspec.Struct, frozen=True):
    launch: int
    evidence: ExitEvidence


class Reattached(msgspec.Struct, frozen=True):
    """After a restart or a lost connection: proven to be the QEMU of this launch, and it talks.

    ``evidence`` lists each proof in a few words.
    """

    launch: int
    process: ProcessIdentity
    run_state: RunState
    evidence: tuple[str, ...]
    containment: Containment | None = None


class ProcessSilent(msgspec.Struct, frozen=True):
    """The process of this launch is proven to live, but QMP does not answer."""

    launch: int
    detail: str


class NeverSpawned(msgspec.Struct, frozen=True):
    """An intent without a process: nothing holds the launch's lock."""

    launch: int


class HostRebooted(msgspec.Struct, frozen=True):
    """The host's boot id is not the one under which QEMU was spawned."""

    launch: int


class TimerFired(msgspec.Struct, frozen=True):
    launch: int
    kind: TimerKind
    deadline_ms: int


class ResultCollected(msgspec.Struct, frozen=True):
    """The archive was read from the results disk after QEMU's exit and is in the store."""

    launch: int
    sha256: str
    size: int
    exit_code: int


class ResultRefused(msgspec.Struct, frozen=True):
    """The results disk holds no valid result of this launch."""

    launch: int
    detail: str


class FilesRemoved(msgspec.Struct, frozen=True):
    launch: int


class RemovalFailed(msgspec.Struct, frozen=True):
    """Something of the VM cannot be removed; whatever else can be is gone."""

    launch: int
    detail: str


class HostCheck(Enum):
    """What a host that is trusted to verify found of a measurement."""

    NOT_ASKED = "not-asked"
    VERIFIED = "verified"
    REFUSED = "refused"


class LaunchMeasured(msgspec.Struct, frozen=True):
    """The secure processor's word on a launch that waits; ``detail`` says why it was refused."""

    launch: int
    evidence: Evidence
    host_check: HostCheck = HostCheck.NOT_ASKED
    detail: str = ""


class SecretInjected(msgspec.Struct, frozen=True):
    launch: int
    sha256: str


class ReportReceived(msgspec.Struct, frozen=True):
    launch: int
    nonce: bytes
    report: bytes


class ReportRefused(msgspec.Struct, frozen=True):
    launch: int
    nonce: bytes
    detail: str


Observation = (
    Queued
    | Reserved
    | ReservationRefused
    | LaunchPrepared
    | LaunchImpossible
    | QemuSpawned
    | SpawnFailed
    | QmpReady
    | QmpLost
    | QmpCommandFailed
    | ObservationsDropped
    | RunStateObserved
    | GuestStopped
    | GuestResumed
    | GuestWasReset
    | GuestShutDown
    | GuestPanicked
    | GuestDiskFailed
    | GuestHung
    | GuestSuspended
    | GuestWoke
    | GuestCrashLoaded
    | MemoryFailed
    | AgentReady
    | AgentStarted
    | AgentProgress
    | AgentFinished
    | AgentBrokeProtocol
    | GuestReady
    | ProcessExited
    | Reattached
    | ProcessSilent
    | NeverSpawned
    | HostRebooted
    | TimerFired
    | ResultCollected
    | ResultRefused
    | FilesRemoved
    | RemovalFailed
    | LaunchMeasured
    | SecretInjected
    | ReportReceived
    | ReportRefused
)
