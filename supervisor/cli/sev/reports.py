"""`sev verify-report`: an SEV-SNP guest's own evidence, checked by its owner."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from supervisor.cli.options import json_option
from supervisor.cli.output import print_json
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, file_type, read_whole
from supervisor.cli.sev.refusals import option, refusals_told
from supervisor.sev.octets import from_hex
from supervisor.sev.report import (
    DIGEST_BYTES,
    HOST_DATA_BYTES,
    MEASUREMENT_BYTES,
    REPORT_DATA_BYTES,
    SnpPolicy,
)
from supervisor.sev.tcb import Tcb, read_tcb

if TYPE_CHECKING:
    from supervisor.sev.endorsement import Endorsement
    from supervisor.sev.report import SnpReport
    from supervisor.sev.snp import SnpDemands


def _measurement(text: str) -> bytes:
    return from_hex(text, MEASUREMENT_BYTES, "a launch digest of SEV-SNP")


def _report_data(text: str) -> bytes:
    return from_hex(text, REPORT_DATA_BYTES, "the report data")


def _host_data(text: str) -> bytes:
    return from_hex(text, HOST_DATA_BYTES, "the host data")


def _key_digest(text: str) -> bytes:
    return from_hex(text, DIGEST_BYTES, "the id key's digest")


@click.command("verify-report")
@click.argument("report", type=file_type)
@click.option("--key", type=file_type, required=True, help="The VCEK or VLEK, as DER or PEM.")
@click.option(
    "--amd-root",
    type=file_type,
    required=True,
    multiple=True,
    help="AMD's ARK, and the ASK or ASVK below it, as PEM: what you trust.",
)
@option("--measurement", _measurement, metavar="HEX", required=True, multiple=True)
@option(
    "--report-data",
    _report_data,
    metavar="HEX",
    required=True,
    help="The 64 bytes that the guest was asked to put in: they show that the report is fresh.",
)
@option("--min-tcb", read_tcb, required=True, help="bootloader=3,tee=0,snp=8,microcode=115")
@option("--host-data", _host_data, metavar="HEX", help="SHA-256 that the host must have set.")
@option("--id-key-digest", _key_digest, metavar="HEX", help="SHA-384 of the ID block's key.")
@click.option("--allow-debug", is_flag=True, help="Accept a guest whose memory the host can read.")
@json_option
def verify_report(
    *,
    report: Path,
    key: Path,
    amd_root: Sequence[Path],
    measurement: tuple[bytes, ...],
    report_data: bytes,
    min_tcb: Tcb,
    host_data: bytes | None,
    id_key_digest: bytes | None,
    allow_debug: bool,
    as_json: bool,
) -> None:
    """Check an SEV-SNP report: AMD's chain, the signature, and what it says of the guest.

    \b
    Example:
      chronovisor sev verify-report report.bin --key vcek.der --amd-root ask_ark_milan.pem \\
        --measurement 6d287813... --report-data 0001... \\
        --min-tcb bootloader=3,tee=0,snp=8,microcode=115
    """
    from supervisor.sev.snp import SnpDemands

    accepted = SnpPolicy.DEBUG if allow_debug else SnpPolicy(0)
    demands = SnpDemands(measurement, report_data, min_tcb, host_data, id_key_digest, accepted)
    with refusals_told(as_json=as_json):
        found = _verified(report, _endorsement(key, amd_root), demands)
    facts = {
        "verified": True,
        "signed_by": found.signing_key.name.lower(),
        "chip_id": found.chip_id.hex(),
        "measurement": found.measurement.hex(),
        "host_data": found.host_data.hex(),
        "reported_tcb": str(found.reported_tcb),
        "policy": found.policy,
    }
    if as_json:
        print_json(facts)
    else:
        click.echo(f"it is your guest, by a {found.signing_key.name} that AMD vouches for")


def _verified(file: Path, endorsement: "Endorsement", demands: "SnpDemands") -> "SnpReport":
    from supervisor.sev.report import parse_report
    from supervisor.sev.snp import verify_report

    found = parse_report(read_whole(file, CERTIFICATE_BYTES_MAX))
    verify_report(found, endorsement, demands)
    return found


def _endorsement(key: Path, amd_root: Sequence[Path]) -> "Endorsement":
    from supervisor.sev.endorsement import parse_x509, verify_endorsement
    from supervisor.sev.errors import Malformed

    leaves = parse_x509(read_whole(key, CERTIFICATE_BYTES_MAX), str(key))
    if len(leaves) != 1:
        raise Malformed(f"{key} holds {len(leaves)} certificates, and must hold the key's alone")
    authorities = [
        each
        for file in amd_root
        for each in parse_x509(read_whole(file, CERTIFICATE_BYTES_MAX), str(file))
    ]
    return verify_endorsement(leaves[0], authorities, datetime.datetime.now(datetime.UTC))
