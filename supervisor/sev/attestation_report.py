"""The report that a secure processor gives of a running SEV or SEV-ES guest, at its host's request.

The platform's PEK signs it, so whoever knows the platform verifies it without a session's keys. It
says that this platform runs a guest of that digest and policy, and not under whose session: secrets
are only released against a measurement. Source: SEV API specification, section 6.8 (ATTESTATION).
"""

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from supervisor.sev.amd_certificate import AmdRoots
from supervisor.sev.certificate import Algorithm, Certificate, Usage, ecdsa_signature
from supervisor.sev.errors import Malformed, Mismatch, Untrusted
from supervisor.sev.octets import exactly, little, zeros
from supervisor.sev.platform import Platform, verify_platform
from supervisor.sev.policy import PolicyFlag, demand_flags

NONCE_BYTES = 16
SIGNED_BYTES = 52
SIGNATURE_OFFSET = 64
REPORT_BYTES = 208


class AttestationReport(msgspec.Struct, frozen=True):
    """A report as it was read; :func:`verify_attestation` says if it is true."""

    nonce: bytes
    digest: bytes
    policy: int
    signed: bytes
    signature: bytes


class AttestationDemands(msgspec.Struct, frozen=True):
    """What an owner accepts. There is no empty demand that would allow everything."""

    nonce: bytes
    digests: tuple[bytes, ...]
    policy: int
    flags: PolicyFlag


def parse_attestation(data: bytes) -> AttestationReport:
    """Read 208 bytes. Raises Malformed."""
    exactly(data, REPORT_BYTES, "the report")
    usage, algorithm = little(data[52:56]), little(data[56:60])
    if usage != Usage.PEK:
        raise Malformed(f"the report is signed by a key of usage {usage:#x}, and not by a PEK")
    if algorithm != Algorithm.ECDSA_SHA256:
        raise Malformed(f"the report is signed by an algorithm that is not known: {algorithm:#x}")
    zeros(data[60:SIGNATURE_OFFSET], "the report")
    return AttestationReport(
        nonce=data[:16],
        digest=data[16:48],
        policy=little(data[48:SIGNED_BYTES]),
        signed=data[:SIGNED_BYTES],
        signature=data[SIGNATURE_OFFSET:],
    )


def verify_attestation(
    report: AttestationReport, platform: Platform, roots: AmdRoots, demands: AttestationDemands
) -> None:
    """Check the platform's chain, the report's signature, and then what it says.

    Raises:
        Untrusted: The chain does not hold, or another key signed the report.
        Malformed: A certificate or the signature is damaged.
        Mismatch: The nonce, the policy or the digest is another one than demanded.
        WeakPolicy: The policy lacks a flag that is demanded.
    """
    verify_platform(platform, roots)
    _verify_signature(report, platform.pek)
    if report.nonce != demands.nonce:
        raise Mismatch(
            f"the report's nonce is {report.nonce.hex()}, and {demands.nonce.hex()} is demanded: "
            "it was made for another question"
        )
    if report.policy != demands.policy:
        raise Mismatch(
            f"the report's policy is {report.policy:#x}, and {demands.policy:#x} is demanded"
        )
    demand_flags(report.policy, demands.flags)
    if report.digest not in demands.digests:
        raise Mismatch(f"the report's digest is of another guest: {report.digest.hex()}")


def _verify_signature(report: AttestationReport, pek: Certificate) -> None:
    encoded = ecdsa_signature(report.signature, "the report")
    try:
        pek.public_key().verify(encoded, report.signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Untrusted(
            "the report is not signed by this platform's PEK: it is damaged, forged, "
            "or of another platform"
        ) from None
