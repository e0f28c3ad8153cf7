"""The report that an SEV-SNP guest asks its secure processor for.

Source: SEV-SNP ABI specification, chapter 7 (ATTESTATION_REPORT). Names of fields are those there.
"""

from enum import IntEnum, IntFlag

import msgspec

from supervisor.sev.errors import Malformed
from supervisor.sev.octets import exactly, little
from supervisor.sev.tcb import Tcb, parse_tcb

REPORT_BYTES = 1184
SIGNED_BYTES = 0x2A0
VERSIONS = range(2, 6)
FAMILY_SINCE = 3
ECDSA_P384_SHA384 = 1
MEASUREMENT_BYTES = 48
REPORT_DATA_BYTES = 64
HOST_DATA_BYTES = 32
CHIP_ID_BYTES = 64
DIGEST_BYTES = 48


class SigningKey(IntEnum):
    """Whose key signed a report."""

    VCEK = 0
    VLEK = 1
    NONE = 7


class SnpPolicy(IntFlag):
    """Bits that allow, or demand, something; the ABI's lowest version is below them."""

    SMT = 1 << 16
    RESERVED_ONE = 1 << 17
    MIGRATE_MA = 1 << 18
    DEBUG = 1 << 19
    SINGLE_SOCKET = 1 << 20


class SnpReport(msgspec.Struct, frozen=True):
    """A report as it was read; :func:`~supervisor.sev.snp.verify_report` says if it is true."""

    version: int
    policy: int
    vmpl: int
    signing_key: SigningKey
    chip_key_masked: bool
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    chip_id: bytes
    current_tcb: Tcb
    reported_tcb: Tcb
    committed_tcb: Tcb
    launch_tcb: Tcb
    signed: bytes
    signature: bytes


def parse_report(data: bytes) -> SnpReport:
    """Read a report. Raises Malformed."""
    exactly(data, REPORT_BYTES, "the report")
    version, algorithm, flags = little(data[:4]), little(data[0x34:0x38]), little(data[0x48:0x4C])
    if version not in VERSIONS:
        raise Malformed(f"the report is of version {version}, which is not known")
    if algorithm != ECDSA_P384_SHA384:
        raise Malformed(f"the report is signed by an algorithm that is not known: {algorithm}")
    family = data[0x188] if version >= FAMILY_SINCE else None
    return SnpReport(
        version,
        policy=little(data[0x08:0x10]),
        vmpl=little(data[0x30:0x34]),
        signing_key=_signing_key(flags >> 2 & 7),
        chip_key_masked=bool(flags & 2),
        report_data=data[0x50:0x90],
        measurement=data[0x90:0xC0],
        host_data=data[0xC0:0xE0],
        id_key_digest=data[0xE0:0x110],
        author_key_digest=data[0x110:0x140],
        chip_id=data[0x1A0:0x1E0],
        current_tcb=parse_tcb(data[0x38:0x40], family),
        reported_tcb=parse_tcb(data[0x180:0x188], family),
        committed_tcb=parse_tcb(data[0x1E0:0x1E8], family),
        launch_tcb=parse_tcb(data[0x1F0:0x1F8], family),
        signed=data[:SIGNED_BYTES],
        signature=data[SIGNED_BYTES:],
    )


def _signing_key(number: int) -> SigningKey:
    if number not in {each.value for each in SigningKey}:
        raise Malformed(f"the report names a signing key that is not known: {number}")
    return SigningKey(number)
