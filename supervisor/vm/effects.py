"""Work that the core asks the shell to do. Each comes back as an observation, or needs none."""

from enum import Enum

import msgspec

from supervisor.vm.bounds import QemuBounds
from supervisor.vm.confidential import Confidential, GuestSession, SevClaims
from supervisor.vm.guest_agent import Agent, ReferenceAgent
from supervisor.vm.observations import LaunchImages, ProcessIdentity, TimerKind
from supervisor.vm.spec import Manifest, Network


class QmpCommand(Enum):
    """The QMP commands that the core may order; the argument lists live with the host layer."""

    CONT = "cont"
    STOP = "stop"
    POWERDOWN = "system_powerdown"
    RESET = "system_reset"
    FORBID_REBOOT = "set-action"
    QUIT = "quit"


class ProcessSignal(Enum):
    """The signals that the stop ladder ends with."""

    TERM = "SIGTERM"
    KILL = "SIGKILL"


class Reserve(msgspec.Struct, frozen=True):
    """Wait for the VM's turn to launch, and have host ports chosen for its network.

    -> Reserved | ReservationRefused; before it Queued, where others have their turn first and the
    log says no ``ticket``.
    """

    launch: int
    network: Network
    ticket: int | None = None


class PrepareLaunch(msgspec.Struct, frozen=True):
    """Make the launch's directory, disks and images -> LaunchPrepared | LaunchImpossible.

    LaunchPrepared repeats ``host_ports``. The digest and the session count where the manifest is
    confidential.
    """

    launch: int
    manifest: Manifest
    host_ports: tuple[int, ...] = ()
    manifest_digest: str = ""
    session: GuestSession | None = None


class SpawnQemu(msgspec.Struct, frozen=True):
    """Start QEMU and attend to it.

    -> QemuSpawned, QmpReady, guest events, ProcessExited | SpawnFailed.
    """

    launch: int
    directory: str
    argv: tuple[str, ...]
    uuid: str
    log_bytes: int
    images: LaunchImages
    bounds: QemuBounds
    session: GuestSession | None = None
    agent: Agent = ReferenceAgent()


class Reattach(msgspec.Struct, frozen=True):
    """Find the QEMU of a launch again and attend to it.

    -> Reattached, guest events, ProcessExited | ProcessSilent | NeverSpawned | HostRebooted.
    ``process`` is unknown when the daemon died between the intent and the record of the spawn.
    """

    launch: int
    directory: str
    uuid: str
    process: ProcessIdentity | None
    log_bytes: int
    agent: Agent = ReferenceAgent()


class ExecuteQmp(msgspec.Struct, frozen=True):
    """-> nothing on success (the guest event says it), QmpCommandFailed otherwise."""

    launch: int
    command: QmpCommand


class QueryRunState(msgspec.Struct, frozen=True):
    """-> RunStateObserved | QmpCommandFailed."""

    launch: int


class StartComputation(msgspec.Struct, frozen=True):
    """Tell the agent to start; safe to repeat."""

    launch: int


class StopComputation(msgspec.Struct, frozen=True):
    """Ask the agent to end the computation; safe to repeat."""

    launch: int


class AwaitPort(msgspec.Struct, frozen=True):
    """Try the port of a guest's own agent until somebody takes a connection -> GuestReady.

    It replaces one of its launch that is under way, as AwaitLine does.
    """

    launch: int
    guest_port: int
    host_port: int


class LinesSince(Enum):
    """From when on a line of the console counts."""

    LAUNCH = "launch"
    RESET = "reset"


class AwaitLine(msgspec.Struct, frozen=True):
    """Read the console until a line of it matches the glob pattern ``line`` -> GuestReady."""

    launch: int
    directory: str
    line: str
    since: LinesSince = LinesSince.LAUNCH


class AcknowledgeAgent(msgspec.Struct, frozen=True):
    """Tell the agent that its message ``seq`` is durable."""

    launch: int
    seq: int


class ArmTimer(msgspec.Struct, frozen=True):
    """-> TimerFired at ``deadline_ms`` (ms since the epoch, UTC); replaces a timer of its kind.

    It fires no sooner than ``patience_ms`` from now, also where the deadline is past.
    """

    launch: int
    kind: TimerKind
    deadline_ms: int
    patience_ms: int = 0


class SignalProcess(msgspec.Struct, frozen=True):
    """Send a signal through the pidfd of the launch's process."""

    launch: int
    signal: ProcessSignal


class CollectResult(msgspec.Struct, frozen=True):
    """Read the results disk of a QEMU that has exited -> ResultCollected | ResultRefused."""

    launch: int
    directory: str
    limit_bytes: int


class ReleaseLaunch(msgspec.Struct, frozen=True):
    """Drop timers, connections and large files of a launch that is over; logs stay.

    A file that cannot be removed stays, until the VM is deleted.
    """

    launch: int
    directory: str


class RemoveFiles(msgspec.Struct, frozen=True):
    """Remove everything on disk of the VM -> FilesRemoved | RemovalFailed."""

    launch: int


class MeasureLaunch(msgspec.Struct, frozen=True):
    """Read what the secure processor measured of a launch whose CPUs have not run.

    -> LaunchMeasured | QmpCommandFailed of :data:`MEASURE`.
    """

    launch: int
    directory: str
    confidential: Confidential
    claims: SevClaims | None


class InjectSecret(msgspec.Struct, frozen=True):
    """-> SecretInjected | QmpCommandFailed of :data:`INJECT`; the same packet may be repeated."""

    launch: int
    sha256: str
    packet_header: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"InjectSecret(launch={self.launch}, sha256={self.sha256!r})"


class RequestReport(msgspec.Struct, frozen=True):
    """-> ReportReceived | ReportRefused, each with the nonce."""

    launch: int
    nonce: bytes
    confidential: Confidential


MEASURE = "query-sev-launch-measure"
INJECT = "sev-inject-launch-secret"
"""The QMP commands behind two of these effects, as a failure names them."""

Effect = (
    Reserve
    | PrepareLaunch
    | SpawnQemu
    | Reattach
    | ExecuteQmp
    | QueryRunState
    | StartComputation
    | StopComputation
    | AwaitPort
    | AwaitLine
    | AcknowledgeAgent
    | ArmTimer
    | SignalProcess
    | CollectResult
    | ReleaseLaunch
    | RemoveFiles
    | MeasureLaunch
    | InjectSecret
    | RequestReport
)
