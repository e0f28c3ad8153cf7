"""A report that a PEK signed of a running guest: what it must say, and who must have said it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from supervisor.cli.sev import attestations
from supervisor.sev.amd_certificate import AmdRoots, parse_amd_certificates, trusted_roots
from supervisor.sev.attestation_report import (
    NONCE_BYTES,
    REPORT_BYTES,
    AttestationDemands,
    parse_attestation,
    verify_attestation,
)
from supervisor.sev.certificate import Usage, parse_certificate
from supervisor.sev.errors import Malformed, Mismatch, SevRefused, Untrusted, WeakPolicy
from supervisor.sev.platform import Platform, parse_platform, with_signed_cek
from supervisor.sev.policy import PolicyFlag
from tests.sev.amd import Generation
from tests.sev.attestation import attestation
from tests.sev.chip import Chip, new_chip

NONCE, DIGEST, POLICY = b"n" * 16, b"d" * 32, 0x3
DEMANDS = AttestationDemands(NONCE, (DIGEST,), POLICY, PolicyFlag.NODBG | PolicyFlag.NOKS)


@pytest.fixture(scope="module")
def report(chip: Chip) -> bytes:
    return attestation(chip, NONCE, DIGEST, POLICY)


@pytest.fixture(scope="module")
def roots(generation: Generation) -> AmdRoots:
    return trusted_roots(parse_amd_certificates(generation.ask + generation.ark))


@pytest.fixture(scope="module")
def platform(chip: Chip) -> Platform:
    return platform_of(chip)


def platform_of(chip: Chip) -> Platform:
    cek = parse_certificate(chip.cek, Usage.CEK)
    return with_signed_cek(parse_platform(chip.pdh, chip.cert_chain), cek)


def with_number(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + number.to_bytes(4, "little") + data[at + 4 :]


def test_a_report_of_this_platform_is_believed(
    report: bytes, platform: Platform, roots: AmdRoots
) -> None:
    found = parse_attestation(report)
    assert (found.nonce, found.digest, found.policy) == (NONCE, DIGEST, POLICY)
    verify_attestation(found, platform, roots, DEMANDS)


def test_one_of_several_digests_is_enough(
    report: bytes, platform: Platform, roots: AmdRoots
) -> None:
    demands = msgspec.structs.replace(DEMANDS, digests=(bytes(32), DIGEST))
    verify_attestation(parse_attestation(report), platform, roots, demands)


def test_no_byte_of_a_report_can_change(report: bytes, platform: Platform, roots: AmdRoots) -> None:
    for at in range(len(report)):
        for mask in (0x01, 0x80, 0xFF):
            forged = report[:at] + bytes([report[at] ^ mask]) + report[at + 1 :]
            with pytest.raises(SevRefused):
                verify_attestation(parse_attestation(forged), platform, roots, DEMANDS)


@pytest.mark.parametrize("at", range(52))
def test_no_signed_byte_can_change_even_where_the_owner_demands_it(
    at: int, report: bytes, platform: Platform, roots: AmdRoots
) -> None:
    forged = parse_attestation(report[:at] + bytes([report[at] ^ 4]) + report[at + 1 :])
    demands = AttestationDemands(forged.nonce, (forged.digest,), forged.policy, PolicyFlag(0))
    with pytest.raises(Untrusted, match="not signed by this platform's PEK"):
        verify_attestation(forged, platform, roots, demands)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[:-1], "the report has 207 bytes, and must have 208"),
        (lambda data: data + b"\0", "the report has 209 bytes, and must have 208"),
        (lambda data: with_number(data, 52, Usage.CEK), "a key of usage 0x1004, and not by a PEK"),
        (lambda data: with_number(data, 56, 0x102), "an algorithm that is not known: 0x102"),
        (lambda data: with_number(data, 60, 1), "bytes that are not zero where the format"),
    ],
)
def test_a_damaged_report_is_refused_with_its_damage(
    damage: Any, sentence: str, report: bytes
) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse_attestation(damage(report))


def test_numbers_too_large_for_the_curve_are_no_signature(
    report: bytes, platform: Platform, roots: AmdRoots
) -> None:
    forged = parse_attestation(report[:-1] + b"\1")
    with pytest.raises(Malformed, match="the report has a signature whose numbers are too large"):
        verify_attestation(forged, platform, roots, DEMANDS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nonce": b"o" * 16}, "nonce is 6e6e.*and 6f6f.* is demanded: it was made for another"),
        ({"digests": (bytes(32), b"D" * 32)}, "the report's digest is of another guest: 6464"),
        ({"digests": ()}, "the report's digest is of another guest: 6464"),
        ({"policy": 0x7}, "the report's policy is 0x3, and 0x7 is demanded"),
        ({"policy": 0x1}, "the report's policy is 0x3, and 0x1 is demanded"),
    ],
)
def test_another_value_than_demanded_is_refused(
    changes: dict[str, Any], sentence: str, report: bytes, platform: Platform, roots: AmdRoots
) -> None:
    demands = msgspec.structs.replace(DEMANDS, **changes)
    with pytest.raises(Mismatch, match=sentence):
        verify_attestation(parse_attestation(report), platform, roots, demands)


def test_a_policy_without_a_demanded_flag_is_refused(
    report: bytes, platform: Platform, roots: AmdRoots
) -> None:
    demands = msgspec.structs.replace(DEMANDS, flags=PolicyFlag.ES)
    with pytest.raises(WeakPolicy, match="the policy 0x3 lacks es, which is demanded"):
        verify_attestation(parse_attestation(report), platform, roots, demands)


def test_a_report_of_another_platform_is_refused(
    platform: Platform, roots: AmdRoots, generation: Generation
) -> None:
    other = parse_attestation(attestation(new_chip(generation), NONCE, DIGEST, POLICY))
    with pytest.raises(Untrusted, match="not signed by this platform's PEK"):
        verify_attestation(other, platform, roots, DEMANDS)


def test_a_report_is_only_as_good_as_its_platforms_chain(
    report: bytes, chip: Chip, generation: Generation, roots: AmdRoots
) -> None:
    other = new_chip(generation)
    mixed = platform_of(replace(chip, cek=other.cek, bare_cek=other.bare_cek))
    with pytest.raises(Untrusted, match="the PEK certificate is not signed by this CEK"):
        verify_attestation(parse_attestation(report), mixed, roots, DEMANDS)


def test_a_signature_over_more_than_the_report_says_is_none(
    report: bytes, chip: Chip, platform: Platform, roots: AmdRoots
) -> None:
    said = report[:60]
    pair = decode_dss_signature(chip.pek_key.sign(said, ec.ECDSA(hashes.SHA256())))
    signature = b"".join(number.to_bytes(72, "little") for number in pair)
    with pytest.raises(Untrusted, match="not signed by this platform's PEK"):
        verify_attestation(parse_attestation(report[:64] + signature), platform, roots, DEMANDS)


def test_the_command_knows_the_sizes_of_the_format() -> None:
    assert (attestations.REPORT_BYTES, attestations.NONCE_BYTES) == (REPORT_BYTES, NONCE_BYTES)
