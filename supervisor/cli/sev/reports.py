"""`sev verify-report`: evidence of a running guest; its size tells its kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from supervisor.cli.options import json_option
from supervisor.cli.output import print_json
from supervisor.cli.sev.attestations import SEV_REPORT, attestation_options
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, file_type, read_whole
from supervisor.cli.sev.refusals import refusals_told
from supervisor.cli.sev.report_kind import Verdict
from supervisor.cli.sev.snp_reports import SNP_REPORT, snp_options
from supervisor.sev.errors import Malformed

KINDS = {kind.size: kind for kind in (SEV_REPORT, SNP_REPORT)}


@click.command("verify-report")
@click.argument("report", type=file_type)
@click.option(
    "--amd-root",
    type=file_type,
    required=True,
    multiple=True,
    help="What you trust: AMD's ARK and the key below it. SEV: AMD's format. SEV-SNP: PEM.",
)
@attestation_options
@snp_options
@json_option
def verify_report(*, report: Path, amd_root: Sequence[Path], as_json: bool, **given: Any) -> None:
    """Check a report of a running guest: AMD's chain, the signature, and what it says.

    The file's size tells its kind. SEV-SNP: the guest asks for it, and it takes --key,
    --measurement, --report-data and --min-tcb. SEV and SEV-ES: the host asks for it, and it takes
    --platform, --signed-cek, --nonce, --digest and --policy.

    \b
    Examples:
      chronovisor sev verify-report report.bin --key vcek.der --amd-root ask_ark_milan.pem \\
        --measurement 6d287813... --report-data 0001... \\
        --min-tcb bootloader=3,tee=0,snp=8,microcode=115
      chronovisor sev verify-report report.bin --platform platform.json --signed-cek cek.cert \\
        --amd-root ask_ark_rome.cert --nonce 5f3c... --digest 77f613d7... --policy 0x3
    """
    with refusals_told(as_json=as_json):
        verdict = _verdict(report, amd_root, given)
    if as_json:
        print_json({"verified": True, **verdict.facts})
    else:
        click.echo(verdict.sentence)


def _verdict(report: Path, amd_root: Sequence[Path], given: dict[str, Any]) -> Verdict:
    data = read_whole(report, CERTIFICATE_BYTES_MAX)
    kind = KINDS.get(len(data))
    if kind is None:
        sizes = ", ".join(f"{each.name} has {each.size}" for each in KINDS.values())
        raise Malformed(f"{report} has {len(data)} bytes, which no report has: {sizes}")
    return kind.verify(data, amd_root, kind.own_options(given))
