"""Facts of a confidential launch, from its session to its secret; tags are in :mod:`.events`.

The log holds the digest of a secret's packet and never its bytes.
"""

from enum import Enum

import msgspec

from supervisor.vm.confidential import Evidence, GuestSession, SevClaims


class VerifiedBy(Enum):
    """Who found that the measurement is the one of what was ordered."""

    OWNER = "owner"
    HOST = "host"


class SessionAwaited(msgspec.Struct, frozen=True):
    """The next launch needs a session of its own, which the owner is to bring."""

    launch: int
    deadline_ms: int


class SessionProvided(msgspec.Struct, frozen=True):
    launch: int
    session: GuestSession


class LaunchMeasured(msgspec.Struct, frozen=True):
    """What was launched is measured; an owner who verifies has until ``deadline_ms`` to decide."""

    launch: int
    evidence: Evidence
    claims: SevClaims | None
    deadline_ms: int


class SecretAccepted(msgspec.Struct, frozen=True):
    """Durable before QEMU is given the packet; ``sha256`` is of its header and its secret."""

    launch: int
    sha256: str
    size: int


class SecretInjected(msgspec.Struct, frozen=True):
    launch: int
    sha256: str


class LaunchApproved(msgspec.Struct, frozen=True):
    """The guest may run, and has until ``deadline_ms`` to start the algorithm."""

    launch: int
    verified_by: VerifiedBy
    deadline_ms: int


class LaunchRejected(msgspec.Struct, frozen=True):
    launch: int
    reason: str


class LaunchBypassed(msgspec.Struct, frozen=True):
    """The guest's CPUs ran although nobody had approved the launch."""

    launch: int


class ReportRequested(msgspec.Struct, frozen=True):
    launch: int
    nonce_hex: str


class ReportReceived(msgspec.Struct, frozen=True):
    """``nonce`` is hexadecimal; the report is checked by whoever asked for it."""

    launch: int
    nonce: str
    report_b64: str


class ReportRefused(msgspec.Struct, frozen=True):
    launch: int
    nonce: str
    detail: str


AttestationEvent = (
    SessionAwaited
    | SessionProvided
    | LaunchMeasured
    | SecretAccepted
    | SecretInjected
    | LaunchApproved
    | LaunchRejected
    | LaunchBypassed
    | ReportRequested
    | ReportReceived
    | ReportRefused
)
