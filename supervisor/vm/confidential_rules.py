"""What a confidential manifest and an owner's orders may hold. A gap that nobody sees is refused.

A kernel that is not measured, or variables that never are, would make the measurement hollow.
Sizes are of AMD's SEV API specification and of QEMU's sev-snp-guest object.
"""

import base64
import re
from collections.abc import Iterator

from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.confidential import GuestSession, Sev, SevEs, Snp, Verification
from supervisor.vm.ranges import DAY_MS
from supervisor.vm.spec import KIB, SECOND_MS, Machine, Manifest

CERTIFICATE_BYTES = 2084
SESSION_BYTES = 128
MEASUREMENT_BYTES = 48
HEADER_BYTES = 52
SECRET_BYTES_MAX = 16 * KIB
"""The firmware takes no more in one packet."""
SECRET_BLOCK_BYTES = 16
"""The firmware decrypts whole blocks of AES."""
ID_BLOCK_BYTES = 96
ID_AUTH_BYTES_MAX = 4096
REASON_CHARACTERS = 1024

SEV_FLAGS = 0x3F
ES_FLAG = 0x04
SNP_ALWAYS_SET = 1 << 17
SNP_POLICY_MAX = (1 << 64) - 1
RESERVED_OF_SEV = 0xFFFF & ~SEV_FLAGS
RESERVED_OF_SNP = SNP_POLICY_MAX & ~((1 << 26) - 1)
"""Beyond CIPHERTEXT_HIDING_DRAM and PAGE_SWAP_DISABLE, its last flags, nothing is defined."""

_HEXADECIMAL = re.compile(r"[0-9a-f]*")


def confidential_violations(manifest: Manifest) -> Iterator[FieldViolation]:
    """Yield what is wrong with a manifest's wish for confidence."""
    wanted = manifest.confidential
    if wanted is None:
        return
    yield from _machine(manifest)
    if not wanted.kernel_hashes:
        told = "is off, and the launch would have an unmeasured kernel"
        yield FieldViolation("confidential.kernel_hashes", told)
    if isinstance(wanted, Snp):
        yield from _snp(wanted)
    else:
        yield from _sev_policy(wanted)
        yield from _session(wanted)
        yield from _verification(wanted)


def check_session(session: GuestSession) -> None:
    """Raise CommandDenied for a session that no platform would take."""
    if violations := tuple(_session_violations("session", session)):
        detail = "; ".join(f"{each.field}: {each.description}" for each in violations)
        raise CommandDenied(DenyReason.INVALID_ARGUMENT, detail, violations)


def check_packet(header: bytes, secret: bytes, room: int) -> None:
    """Raise CommandDenied for a packet that the firmware would refuse or that does not fit.

    ``room`` is what the guest's firmware has for it, in bytes; 0 where it has no area for secrets.
    QEMU does not check it.
    """
    if len(header) != HEADER_BYTES or not secret:
        takes = f"it takes {HEADER_BYTES}, and at least one of the secret"
        detail = f"the packet's header has {len(header)} bytes, its secret {len(secret)}; {takes}"
        raise CommandDenied(DenyReason.INVALID_ARGUMENT, detail)
    if not room:
        detail = "the guest's firmware has no area for a secret; approve the launch without one"
        raise CommandDenied(DenyReason.SECRET_TOO_LARGE, detail)
    most = min(room, SECRET_BYTES_MAX)
    if len(secret) > most:
        detail = f"the secret has {len(secret)} bytes; the guest's firmware has room for {most}"
        raise CommandDenied(DenyReason.SECRET_TOO_LARGE, detail)
    if len(secret) % SECRET_BLOCK_BYTES:
        told = f"got {len(secret)} bytes; it takes a multiple of {SECRET_BLOCK_BYTES}"
        violation = FieldViolation("secret", told)
        raise CommandDenied(DenyReason.INVALID_ARGUMENT, f"secret: {told}", (violation,))


def check_reason(reason: str) -> None:
    """Raise CommandDenied for words that do not belong into a log."""
    if len(reason) > REASON_CHARACTERS or not reason.isprintable():
        takes = f"at most {REASON_CHARACTERS} characters without control characters"
        raise CommandDenied(DenyReason.INVALID_ARGUMENT, f"the reason takes {takes}")


def has_bytes(text: str, least: int, most: int | None = None) -> bool:
    """Return whether ``text`` is base64 of that many bytes."""
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:
        return False
    return least <= size <= (least if most is None else most)


def _machine(manifest: Manifest) -> Iterator[FieldViolation]:
    shape = manifest.vm
    if shape.machine is not Machine.Q35:
        told = f"got {shape.machine.value!r}; a confidential VM takes 'q35'"
        yield FieldViolation("vm.machine", told)
    if shape.firmware is None:
        told = "is missing; a confidential VM is measured by its firmware"
        yield FieldViolation("vm.firmware", told)
    if shape.firmware_vars is not None:
        told = "is given; variables are never measured, so a confidential VM has none"
        yield FieldViolation("vm.firmware_vars", told)


def _sev_policy(wanted: Sev) -> Iterator[FieldViolation]:
    field, policy = "confidential.policy", wanted.policy
    if not 0 <= policy < 1 << 32:
        yield FieldViolation(field, f"got {policy:#x}; it takes 32 bits")
        return
    if policy & RESERVED_OF_SEV:
        told = f"got {policy:#x}, with the reserved bits {policy & RESERVED_OF_SEV:#x}"
        yield FieldViolation(field, told)
    encrypts = bool(policy & ES_FLAG)
    if encrypts is not isinstance(wanted, SevEs):
        kind = "sev-es" if encrypts else "sev"
        told = f"got {policy:#x}, which is a policy of kind {kind!r} (bit 2, ES)"
        yield FieldViolation(field, told)


def _session(wanted: Sev) -> Iterator[FieldViolation]:
    field = "confidential.session"
    if wanted.session is not None:
        yield from _session_violations(field, wanted.session)
    match wanted.verification, wanted.session:
        case Verification.OWNER, None:
            yield FieldViolation(field, "is missing; an owner who verifies brings a session")
        case Verification.TRUSTED_HOST, GuestSession():
            yield FieldViolation(field, "is given; a trusted host makes its own")


def _session_violations(field: str, session: GuestSession) -> Iterator[FieldViolation]:
    if not has_bytes(session.godh_cert, CERTIFICATE_BYTES):
        yield FieldViolation(f"{field}.godh_cert", f"takes {CERTIFICATE_BYTES} bytes in base64")
    if not has_bytes(session.session_blob, SESSION_BYTES):
        yield FieldViolation(f"{field}.session_blob", f"takes {SESSION_BYTES} bytes in base64")


def _verification(wanted: Sev) -> Iterator[FieldViolation]:
    field = "confidential.expected_digest"
    yield from _digest(field, wanted.expected_digest, 64)
    if wanted.verification is Verification.TRUSTED_HOST and not wanted.expected_digest:
        yield FieldViolation(field, "is missing; a trusted host compares the launch with it")
    if not SECOND_MS <= wanted.deadline_ms <= DAY_MS:
        told = f"got {wanted.deadline_ms}; it takes 1 s to 24 h, in milliseconds"
        yield FieldViolation("confidential.deadline_ms", told)


def _snp(wanted: Snp) -> Iterator[FieldViolation]:
    policy = wanted.policy
    if not 0 <= policy <= SNP_POLICY_MAX or not policy & SNP_ALWAYS_SET:
        told = f"got {policy:#x}; it takes 64 bits, of which bit 17 is always set"
        yield FieldViolation("confidential.policy", told)
    elif policy & RESERVED_OF_SNP:
        told = f"got {policy:#x}, with the reserved bits {policy & RESERVED_OF_SNP:#x}"
        yield FieldViolation("confidential.policy", told)
    if wanted.id_block and not has_bytes(wanted.id_block, ID_BLOCK_BYTES):
        yield FieldViolation("confidential.id_block", f"takes {ID_BLOCK_BYTES} bytes in base64")
    if wanted.id_auth and not has_bytes(wanted.id_auth, 1, ID_AUTH_BYTES_MAX):
        told = f"takes at most {ID_AUTH_BYTES_MAX} bytes in base64"
        yield FieldViolation("confidential.id_auth", told)
    if bool(wanted.id_block) is not bool(wanted.id_auth):
        told = "goes with confidential.id_auth: the firmware takes both or neither"
        yield FieldViolation("confidential.id_block", told)
    yield from _digest("confidential.expected_digest", wanted.expected_digest, 96)


def _digest(field: str, digest: str, digits: int) -> Iterator[FieldViolation]:
    if digest and (len(digest) != digits or not _HEXADECIMAL.fullmatch(digest)):
        yield FieldViolation(field, f"takes {digits} lower-case hexadecimal digits")
