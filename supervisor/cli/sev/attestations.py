"""A report of a running SEV or SEV-ES guest, for `sev verify-report`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supervisor.cli.options import F
from supervisor.cli.sev.files import file_type
from supervisor.cli.sev.platforms import read_platform, read_roots
from supervisor.cli.sev.refusals import option
from supervisor.cli.sev.report_kind import ReportKind, Verdict
from supervisor.cli.sev.sessions import DEFAULT_DEMANDS
from supervisor.sev.hash_table import DIGEST_BYTES
from supervisor.sev.octets import from_hex
from supervisor.sev.policy import PolicyFlag, describe_policy, parse_flags, parse_policy

if TYPE_CHECKING:
    from supervisor.sev.attestation_report import AttestationReport

REPORT_BYTES = 208
NONCE_BYTES = 16


def _nonce(text: str) -> bytes:
    return from_hex(text, NONCE_BYTES, "the nonce")


def _digest(text: str) -> bytes:
    return from_hex(text, DIGEST_BYTES, "a launch digest")


OPTIONS: tuple[Callable[[F], F], ...] = (
    click.option(
        "--platform",
        type=file_type,
        metavar="PLATFORM.json",
        help="SEV: the host's answer to query-sev-capabilities.",
    ),
    click.option(
        "--signed-cek", type=file_type, help="SEV: the chip's CEK as AMD's key service signed it."
    ),
    option(
        "--nonce",
        _nonce,
        metavar="HEX",
        help="SEV: the 16 bytes that the host was asked with: they show that the report is fresh.",
    ),
    option(
        "--digest",
        _digest,
        metavar="HEX",
        multiple=True,
        help="SEV: a launch digest that you accept, as `sev digest` prints it.",
    ),
    option("--policy", parse_policy, help="SEV: the policy of the guest."),
    option(
        "--require",
        parse_flags,
        metavar="FLAGS",
        show_default=DEFAULT_DEMANDS,
        help="SEV: flags that the policy must have.",
    ),
)


def attestation_options(command: F) -> F:
    """Let a command be told what is demanded of a report of SEV."""
    for each in reversed(OPTIONS):
        command = each(command)
    return command


def _verify(data: bytes, amd_root: Sequence[Path], given: dict[str, Any]) -> Verdict:
    from supervisor.sev.attestation_report import (
        AttestationDemands,
        parse_attestation,
        verify_attestation,
    )

    found = parse_attestation(data)
    platform = read_platform(given["platform"], given["signed_cek"])
    demands = AttestationDemands(
        given["nonce"], given["digest"], given["policy"], _flags(given["require"])
    )
    verify_attestation(found, platform, read_roots(amd_root), demands)
    return _verdict(found)


def _flags(given: PolicyFlag | None) -> PolicyFlag:
    return parse_flags(DEFAULT_DEMANDS) if given is None else given


def _verdict(found: "AttestationReport") -> Verdict:
    words = describe_policy(found.policy)
    return Verdict(
        f"a guest like yours runs there: launch digest {found.digest.hex()}, "
        f"policy {found.policy:#x} ({words})",
        {"signed_by": "pek", "digest": found.digest.hex(), "policy": found.policy},
    )


SEV_REPORT = ReportKind(
    "a report of SEV",
    REPORT_BYTES,
    needed=frozenset({"platform", "signed_cek", "nonce", "digest", "policy"}),
    optional=frozenset({"require"}),
    verify=_verify,
)
