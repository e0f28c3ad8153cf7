"""A report that an SEV-SNP guest asked for, for `sev verify-report`."""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supervisor.cli.options import F
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, file_type, read_whole
from supervisor.cli.sev.refusals import option
from supervisor.cli.sev.report_kind import ReportKind, Verdict
from supervisor.sev.octets import from_hex
from supervisor.sev.report import (
    DIGEST_BYTES,
    HOST_DATA_BYTES,
    MEASUREMENT_BYTES,
    REPORT_BYTES,
    REPORT_DATA_BYTES,
    SnpPolicy,
)
from supervisor.sev.tcb import read_tcb

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


OPTIONS: tuple[Callable[[F], F], ...] = (
    click.option("--key", type=file_type, help="SEV-SNP: the VCEK or VLEK, as DER or PEM."),
    option(
        "--measurement",
        _measurement,
        metavar="HEX",
        multiple=True,
        help="SEV-SNP: a launch digest that you accept, as `sev digest` prints it.",
    ),
    option(
        "--report-data",
        _report_data,
        metavar="HEX",
        help="SEV-SNP: the 64 bytes that the guest was asked to put in: they show that the "
        "report is fresh.",
    ),
    option("--min-tcb", read_tcb, help="SEV-SNP: such as bootloader=3,tee=0,snp=8,microcode=115."),
    option("--host-data", _host_data, metavar="HEX", help="SEV-SNP: what the host must have set."),
    option(
        "--id-key-digest",
        _key_digest,
        metavar="HEX",
        help="SEV-SNP: SHA-384 of the ID block's key.",
    ),
    click.option(
        "--allow-debug",
        is_flag=True,
        help="SEV-SNP: accept a guest whose memory the host can read.",
    ),
)


def snp_options(command: F) -> F:
    """Let a command be told what is demanded of a report of SEV-SNP."""
    for each in reversed(OPTIONS):
        command = each(command)
    return command


def _verify(data: bytes, amd_root: Sequence[Path], given: dict[str, Any]) -> Verdict:
    from supervisor.sev.report import parse_report
    from supervisor.sev.snp import verify_report

    endorsement = _endorsement(given["key"], amd_root)
    found = parse_report(data)
    verify_report(found, endorsement, _demands(given))
    return _verdict(found)


def _demands(given: dict[str, Any]) -> "SnpDemands":
    from supervisor.sev.snp import SnpDemands

    return SnpDemands(
        given["measurement"],
        given["report_data"],
        given["min_tcb"],
        given["host_data"],
        given["id_key_digest"],
        SnpPolicy.DEBUG if given["allow_debug"] else SnpPolicy(0),
    )


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


def _verdict(found: "SnpReport") -> Verdict:
    return Verdict(
        f"it is your guest, by a {found.signing_key.name} that AMD vouches for",
        {
            "signed_by": found.signing_key.name.lower(),
            "chip_id": found.chip_id.hex(),
            "measurement": found.measurement.hex(),
            "host_data": found.host_data.hex(),
            "reported_tcb": str(found.reported_tcb),
            "policy": found.policy,
        },
    )


SNP_REPORT = ReportKind(
    "a report of SEV-SNP",
    REPORT_BYTES,
    needed=frozenset({"key", "measurement", "report_data", "min_tcb"}),
    optional=frozenset({"host_data", "id_key_digest", "allow_debug"}),
    verify=_verify,
)
