"""What a manifest asks of the processor to keep from the host, and what a host says it launched.

Everything here is a tagged union by ``kind``, so that another kind of processor is another member
and no field beside it. Of SEV's secrets only what is wrapped for the processor stands here: a guest
session may be read by anybody.
"""

import base64
import hashlib
from enum import Enum

import msgspec

VERIFICATION_DEADLINE_MS = 10 * 60 * 1000
"""A person may have to look at the measurement; a host's memory is not held for longer."""


class VmsaVariant(Enum):
    """What KVM puts into a CPU's first state, which SEV-ES measures."""

    LEGACY = "legacy"
    INIT2 = "init2"


class Verification(Enum):
    """Who compares the measurement and decides: an owner elsewhere, or this host."""

    OWNER = "owner"
    TRUSTED_HOST = "trusted-host"


class GuestSession(msgspec.Struct, frozen=True):
    """What the guest's owner made for one launch, in base64 as QEMU's files hold it.

    The blob holds keys that only the secure processor of one platform can unwrap.
    """

    godh_cert: str
    session_blob: str

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal, of the blob itself: what tells one session from another.

        Raises ValueError where the blob is not base64.
        """
        return hashlib.sha256(base64.b64decode(self.session_blob, validate=True)).hexdigest()


class Sev(msgspec.Struct, frozen=True, tag="sev", tag_field="kind"):
    """Memory that is encrypted (SEV), measured at launch before the guest runs."""

    policy: int
    session: GuestSession | None = None
    """Of the first launch, where the owner verifies; each further launch needs another."""
    kernel_hashes: bool = True
    verification: Verification = Verification.OWNER
    expected_digest: str = ""
    """SHA-256 of what is launched, in hexadecimal."""
    deadline_ms: int = VERIFICATION_DEADLINE_MS
    """From LaunchMeasured until the owner must have decided, and how long a session is awaited."""


class SevEs(Sev, frozen=True, tag="sev-es", tag_field="kind"):
    """The same, and the CPUs' registers are encrypted too (SEV-ES)."""

    vmsa_variant: VmsaVariant = VmsaVariant.LEGACY


class Snp(msgspec.Struct, frozen=True, tag="snp", tag_field="kind"):
    """Memory that the host cannot change either (SEV-SNP); the guest itself asks for its report."""

    policy: int = 0x30000
    id_block: str = ""
    id_auth: str = ""
    kernel_hashes: bool = True
    expected_digest: str = ""
    """SHA-384 of what is launched, in hexadecimal."""


Confidential = Sev | SevEs | Snp


class SevPlatform(msgspec.Struct, frozen=True):
    """What QEMU must be told of the host's processor."""

    cbitpos: int
    reduced_phys_bits: int


class SevClaims(msgspec.Struct, frozen=True, tag="sev", tag_field="kind"):
    """What the host claims that it launches: SHA-256 in hexadecimal, and nobody's proof.

    ``digest`` is the measurement that follows from it; ``secret_room`` the bytes of the firmware's
    secret area, 0 where it has none.
    """

    firmware: str
    kernel: str
    initrd: str
    command_line: str
    vcpus: int
    vmsa_variant: str = ""
    digest: str = ""
    secret_room: int = 0


class SevEvidence(msgspec.Struct, frozen=True, tag="sev", tag_field="kind"):
    """What the secure processor said of a launch that waits; ``measurement`` is base64 of 48 B."""

    measurement: str
    api_major: int
    api_minor: int
    build: int
    policy: int


class SnpEvidence(msgspec.Struct, frozen=True, tag="snp", tag_field="kind"):
    """What a launch was bound to; its measurement is seen in the guest's report alone."""

    policy: int
    host_data: str


Evidence = SevEvidence | SnpEvidence
