"""What a client asks of a VM. A command may be denied; the denial is an answer."""

from enum import Enum

import msgspec

from supervisor.vm.confidential import GuestSession


class Start(msgspec.Struct, frozen=True):
    """Launch a VM that ended, or that waits for its next launch, once more."""


class Stop(msgspec.Struct, frozen=True):
    """End the computation in good order, at the latest ``grace_ms`` from now.

    ``None`` takes the grace of the manifest's limits.
    """

    grace_ms: int | None = None


class Kill(msgspec.Struct, frozen=True):
    """End QEMU at once with SIGKILL."""


class Pause(msgspec.Struct, frozen=True):
    """Freeze the guest's CPUs; its deadlines keep running."""


class Resume(msgspec.Struct, frozen=True):
    """Let a paused guest run on."""


class Reset(msgspec.Struct, frozen=True):
    """Press the reset button: the guest boots again within the same launch."""


class Delete(msgspec.Struct, frozen=True):
    """Remove the files of a VM that has ended, and forget it; its history stays in the log."""


class ProvideSession(msgspec.Struct, frozen=True):
    """Bring the session of the next launch; each launch needs one that no other had."""

    session: GuestSession


class ProvideInput(msgspec.Struct, frozen=True):
    """Bring an input that is awaited from ``provider``; its bytes are in the store."""

    provider: str
    id: str
    sha256: str
    size: int


class InjectSecret(msgspec.Struct, frozen=True):
    """Give a measured launch its secret, and let it run; ``measurement`` is echoed, in base64."""

    launch: int
    measurement: str
    packet_header: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"InjectSecret(launch={self.launch}, {len(self.secret)} bytes)"


class ApproveLaunch(msgspec.Struct, frozen=True):
    """Let a measured launch run without a secret."""

    launch: int
    measurement: str


class RejectLaunch(msgspec.Struct, frozen=True):
    """End a measured launch that is not what was ordered."""

    launch: int
    reason: str = ""


class RequestReport(msgspec.Struct, frozen=True):
    """Ask a running confidential guest's processor for a signed report with ``nonce`` in it."""

    nonce: bytes


AttestationCommand = ProvideSession | InjectSecret | ApproveLaunch | RejectLaunch | RequestReport

Command = Start | Stop | Kill | Pause | Resume | Reset | Delete | ProvideInput | AttestationCommand


class DenyReason(Enum):
    """Why a request was refused. The API maps each member to a status in one table."""

    INVALID_MANIFEST = "invalid-manifest"
    INVALID_ARGUMENT = "invalid-argument"
    ARTIFACT_UNKNOWN = "artifact-unknown"
    ARTIFACT_TOO_LARGE = "artifact-too-large"
    ARTIFACT_MISMATCH = "artifact-mismatch"
    IMAGE_UNKNOWN = "image-unknown"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    VM_EXISTS = "vm-exists"
    VM_DELETED = "vm-deleted"
    VM_UNKNOWN = "vm-unknown"
    EVENT_UNKNOWN = "event-unknown"
    WRONG_PHASE = "wrong-phase"
    NO_RESULT = "no-result"
    FILE_UNREADABLE = "file-unreadable"
    POSITION_IN_FUTURE = "position-in-future"
    POSITION_ARCHIVED = "position-archived"
    CURSOR_OF_ANOTHER_LOG = "cursor-of-another-log"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission-denied"
    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_MANY_VMS = "too-many-vms"
    QUOTA_EXCEEDED = "quota-exceeded"
    MAILBOX_FULL = "mailbox-full"
    DISK_FULL = "disk-full"
    SHUTTING_DOWN = "shutting-down"
    NOT_CONFIDENTIAL = "not-confidential"
    LAUNCH_DIFFERS = "launch-differs"
    MEASUREMENT_DIFFERS = "measurement-differs"
    SECRET_ALREADY_SENT = "secret-already-sent"
    SECRET_TOO_LARGE = "secret-too-large"
    SESSION_REUSED = "session-reused"
    INPUT_UNKNOWN = "input-unknown"
    INPUT_ALREADY_PROVIDED = "input-already-provided"
    NOT_A_CONSUMER = "not-a-consumer"
    PLATFORM_UNAVAILABLE = "platform-unavailable"


class FieldViolation(msgspec.Struct, frozen=True):
    """One wrong field: its dotted path, and a sentence that says what it got and what it takes."""

    field: str
    description: str


class CommandDenied(Exception):
    """A request was refused; ``reason`` is for programs, the message for people."""

    def __init__(
        self, reason: DenyReason, detail: str, violations: tuple[FieldViolation, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.violations = violations
