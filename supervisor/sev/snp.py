"""Whether a report is of the guest that its owner expects, on a platform that AMD vouches for."""

from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from supervisor.sev.certificate import ecdsa_signature
from supervisor.sev.endorsement import Endorsement
from supervisor.sev.errors import Mismatch, Untrusted, WeakPolicy
from supervisor.sev.report import CHIP_ID_BYTES, SigningKey, SnpPolicy, SnpReport
from supervisor.sev.tcb import Tcb, demand_tcb

DANGERS = {
    SnpPolicy.DEBUG: "debugging: the host can read the guest's memory",
    SnpPolicy.MIGRATE_MA: "a migration agent, which sees the guest's memory",
}
"""What an owner must accept by name where a policy allows it."""


class SnpDemands(msgspec.Struct, frozen=True):
    """What an owner accepts; None asks nothing of a value."""

    measurements: tuple[bytes, ...]
    report_data: bytes
    minimum_tcb: Tcb
    host_data: bytes | None = None
    id_key_digest: bytes | None = None
    accepted: SnpPolicy = SnpPolicy(0)


def verify_report(report: SnpReport, endorsement: Endorsement, demands: SnpDemands) -> None:
    """Check a report's signature, and then what it says.

    Raises:
        Untrusted: The endorsed key did not sign it, or the key is of another chip or TCB.
        Mismatch: A value is another one than demanded.
        WeakPolicy: The policy lets others see the guest's memory.
        Outdated: The platform's TCB is below the floor.
    """
    _verify_signature(report, endorsement)
    _match_endorsement(report, endorsement)
    _demand_policy(report.policy, demands.accepted)
    if report.vmpl != 0:
        raise Mismatch(f"the report was asked for at VMPL {report.vmpl}, and not at 0")
    _demand_one_of(report.measurement, demands.measurements)
    _demand_equal("report data", report.report_data, demands.report_data)
    _demand_equal("host data", report.host_data, demands.host_data)
    _demand_equal("id key's digest", report.id_key_digest, demands.id_key_digest)
    demand_tcb(report.reported_tcb, demands.minimum_tcb, "reported")
    demand_tcb(report.launch_tcb, demands.minimum_tcb, "launch's")


def _verify_signature(report: SnpReport, endorsement: Endorsement) -> None:
    if report.chip_key_masked or report.signing_key is SigningKey.NONE:
        raise Untrusted("the report is not signed: the host has masked the chip's key")
    encoded = ecdsa_signature(report.signature, "the report")
    try:
        endorsement.key.verify(encoded, report.signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise Untrusted("the report is not signed by this key: it is damaged or forged") from None


def _match_endorsement(report: SnpReport, endorsement: Endorsement) -> None:
    if report.signing_key is not endorsement.signer:
        raise Untrusted(
            f"the report says that a {report.signing_key.name} signed it, "
            f"and the certificate is of a {endorsement.signer.name}"
        )
    if report.reported_tcb != endorsement.tcb:
        raise Untrusted(
            f"the certificate is for the TCB {endorsement.tcb}, "
            f"and the report for {report.reported_tcb}"
        )
    chip = endorsement.chip_id
    if endorsement.signer is SigningKey.VCEK and report.chip_id != chip.ljust(CHIP_ID_BYTES, b"\0"):
        raise Untrusted("the certificate is of another chip than the report")


def _demand_policy(policy: int, accepted: SnpPolicy) -> None:
    for flag, danger in DANGERS.items():
        if policy & flag and not accepted & flag:
            raise WeakPolicy(f"the report's policy {policy:#x} allows {danger}")


def _demand_one_of(measurement: bytes, expected: Sequence[bytes]) -> None:
    if measurement not in expected:
        raise Mismatch(f"the report's measurement is of another guest: {measurement.hex()}")


def _demand_equal(what: str, found: bytes, demanded: bytes | None) -> None:
    if demanded is not None and found != demanded:
        raise Mismatch(f"the report's {what} is {found.hex()}, and {demanded.hex()} is demanded")
