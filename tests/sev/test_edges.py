"""Sizes that an owner's demands have, and the edges of what numbers and texts may be."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from supervisor.sev import report as snp
from supervisor.sev.certificate import (
    Algorithm,
    Usage,
    ecdsa_signature,
    unsigned_certificate,
)
from supervisor.sev.errors import Malformed
from supervisor.sev.octets import from_hex
from supervisor.sev.policy import parse_policy
from supervisor.sev.report import parse_report
from supervisor.sev.vmsa import VmsaVariant
from tests.sev.snp_chip import Report, new_amd, new_snp_chip


def test_what_is_demanded_of_a_report_has_the_size_of_what_it_says() -> None:
    chip = new_snp_chip(new_amd())
    found = parse_report(Report(chip.chip_id).signed_by(chip.key))
    assert {
        snp.MEASUREMENT_BYTES: len(found.measurement),
        snp.REPORT_DATA_BYTES: len(found.report_data),
        snp.HOST_DATA_BYTES: len(found.host_data),
    } == {48: 48, 64: 64, 32: 32}
    assert snp.DIGEST_BYTES == len(found.id_key_digest) == len(found.author_key_digest)
    assert len(found.chip_id) == snp.CHIP_ID_BYTES


def test_the_largest_number_of_32_bits_fits_and_sets_reserved_bits() -> None:
    with pytest.raises(Malformed, match="sets the reserved bits 0xffc0"):
        parse_policy("0xffffffff")


@pytest.mark.parametrize("text", ["0", "0g", "not hex", "é0"])
def test_what_is_not_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="it is not hexadecimal"):
        from_hex(text, 1, "it")


@pytest.mark.parametrize("version", [1, 6])
def test_a_report_of_a_version_that_is_not_known_is_refused(version: int) -> None:
    chip = new_snp_chip(new_amd())
    with pytest.raises(Malformed, match=f"of version {version}, which is not known"):
        parse_report(Report(chip.chip_id, version=version).signed_by(chip.key))


def test_the_bits_of_a_policy_have_the_places_that_the_abi_gives_them() -> None:
    """SEV-SNP ABI specification, section 4.3."""
    places = {each.name: each.bit_length() - 1 for each in snp.SnpPolicy}
    assert places == {
        "SMT": 16,
        "RESERVED_ONE": 17,
        "MIGRATE_MA": 18,
        "DEBUG": 19,
        "SINGLE_SOCKET": 20,
    }


def test_numbers_of_a_signature_have_as_many_bits_as_the_curve() -> None:
    assert ecdsa_signature(((1 << 384) - 1).to_bytes(72, "little") + bytes(72), "it")
    with pytest.raises(Malformed, match="it has a signature whose numbers are too large for P-384"):
        ecdsa_signature((1 << 384).to_bytes(72, "little") + bytes(72), "it")


def test_usages_and_algorithms_have_the_numbers_of_the_specification() -> None:
    """SEV API specification, appendix C.1: the simulated certificates use the same names."""
    usages = {"ARK": 0, "ASK": 0x13, "NONE": 0x1000}
    of_platforms = {"OCA": 0x1001, "PEK": 0x1002, "PDH": 0x1003, "CEK": 0x1004}
    assert {each.name: each.value for each in Usage} == {**usages, **of_platforms}
    with_sha256 = {"RSA_SHA256": 1, "ECDSA_SHA256": 2, "ECDH_SHA256": 3}
    with_sha384 = {"RSA_SHA384": 0x101, "ECDSA_SHA384": 0x102, "ECDH_SHA384": 0x103}
    assert {each.name: each.value for each in Algorithm} == {
        "NONE": 0,
        **with_sha256,
        **with_sha384,
    }


def test_what_the_format_reserves_in_an_owners_certificate_is_zero() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    said = unsigned_certificate(Usage.PDH, key).signed
    assert len(said) == 1044
    assert not any(said[4:8] + said[20 + 2 * 72 :])


def test_the_guests_own_version_is_not_read_as_the_reports() -> None:
    chip = new_snp_chip(new_amd())
    numbered = Report(chip.chip_id, others={4: b"\xff" * 4}).signed_by(chip.key)
    assert parse_report(numbered).version == 2


def test_variants_of_registers_have_the_names_that_owners_type() -> None:
    assert {each.value for each in VmsaVariant} == {"legacy", "init2"}
