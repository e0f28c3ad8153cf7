"""Reports of SEV-SNP guests, signed by chips of our own."""

import datetime
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.sev.endorsement import Endorsement, parse_x509, verify_endorsement
from supervisor.sev.errors import Malformed, Mismatch, Outdated, SevRefused, Untrusted, WeakPolicy
from supervisor.sev.report import SnpPolicy, parse_report
from supervisor.sev.snp import SnpDemands, verify_report
from supervisor.sev.tcb import Tcb, parse_tcb, read_tcb
from tests.sev.flips import flipped
from tests.sev.snp_chip import (
    NOW,
    TCB,
    VLEK,
    Amd,
    Report,
    SnpChip,
    integer,
    issued,
    new_amd,
    new_snp_chip,
)

FLOOR = "bootloader=3,tee=0,snp=8,microcode=115"
DEMANDS = SnpDemands((b"x" * 48, b"m" * 48), b"n" * 64, read_tcb(FLOOR), b"h" * 32, b"i" * 48)


@pytest.fixture(scope="module")
def amd() -> Amd:
    return new_amd()


@pytest.fixture(scope="module")
def chip(amd: Amd) -> SnpChip:
    return new_snp_chip(amd)


def endorsed(amd: Amd, chip: SnpChip, now: datetime.datetime = NOW) -> Endorsement:
    return verify_endorsement(chip.certificate, [amd.ask, amd.ark], now)


def verify(amd: Amd, chip: SnpChip, data: bytes, demands: SnpDemands = DEMANDS) -> None:
    verify_report(parse_report(data), endorsed(amd, chip), demands)


def test_a_report_of_the_expected_guest_is_accepted(amd: Amd, chip: SnpChip) -> None:
    verify(amd, chip, Report(chip.chip_id).signed_by(chip.key))


def test_a_providers_key_may_sign_for_any_chip(amd: Amd) -> None:
    provider = new_snp_chip(amd, VLEK)
    verify(amd, provider, Report(bytes(64), signing_key=VLEK).signed_by(provider.key))
    assert endorsed(amd, provider).chip_id == b""


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_byte_of_a_report_can_change(data: st.DataObject, amd: Amd, chip: SnpChip) -> None:
    report = Report(chip.chip_id).signed_by(chip.key)
    with pytest.raises(SevRefused):
        verify(amd, chip, data.draw(flipped(report)))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_byte_that_amd_signed_for_a_chip_can_change(
    data: st.DataObject, amd: Amd, chip: SnpChip
) -> None:
    whole = chip.certificate.public_bytes(Encoding.DER)
    part = data.draw(
        st.sampled_from([chip.certificate.tbs_certificate_bytes, chip.certificate.signature])
    )
    der = whole.replace(part, data.draw(flipped(part)))
    with pytest.raises(SevRefused):
        verify_endorsement(parse_x509(der, "the key's certificate")[0], [amd.ask, amd.ark], NOW)


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"measurement": b"o" * 48}, "the report's measurement is of another guest: 6f6f"),
        ({"report_data": b"o" * 64}, "the report's report data is 6f6f"),
        ({"host_data": b"o" * 32}, "the report's host data is 6f6f"),
        ({"id_key_digest": b"o" * 48}, "the report's id key's digest is 6f6f"),
        ({"vmpl": 2}, "asked for at VMPL 2, and not at 0"),
    ],
)
def test_another_value_than_demanded_is_refused(
    report: dict[str, Any], sentence: str, amd: Amd, chip: SnpChip
) -> None:

    with pytest.raises(Mismatch, match=sentence):
        verify(amd, chip, replace(Report(chip.chip_id), **report).signed_by(chip.key))


def test_what_is_not_demanded_may_be_anything(amd: Amd, chip: SnpChip) -> None:
    report = Report(chip.chip_id, host_data=b"o" * 32, id_key_digest=bytes(48))
    demands = msgspec.structs.replace(DEMANDS, host_data=None, id_key_digest=None)
    verify(amd, chip, report.signed_by(chip.key), demands)


@pytest.mark.parametrize(
    ("policy", "sentence", "flag"),
    [
        (0xB0000, "0xb0000 allows debugging", SnpPolicy.DEBUG),
        (0x70000, "0x70000 allows a migration agent", SnpPolicy.MIGRATE_MA),
    ],
)
def test_a_dangerous_policy_is_accepted_by_name_only(
    policy: int, sentence: str, flag: SnpPolicy, amd: Amd, chip: SnpChip
) -> None:
    report = Report(chip.chip_id, policy=policy).signed_by(chip.key)
    with pytest.raises(WeakPolicy, match=sentence):
        verify(amd, chip, report)
    verify(amd, chip, report, msgspec.structs.replace(DEMANDS, accepted=flag))


@pytest.mark.parametrize("part", ["bootloader", "tee", "snp", "microcode"])
def test_every_part_of_the_tcb_has_a_floor(part: str, amd: Amd, chip: SnpChip) -> None:
    report = Report(chip.chip_id).signed_by(chip.key)
    least = getattr(read_tcb(FLOOR), part) + 1
    demands = msgspec.structs.replace(
        DEMANDS, minimum_tcb=msgspec.structs.replace(DEMANDS.minimum_tcb, **{part: least})
    )
    with pytest.raises(Outdated, match=f"the reported TCB has {part} {least - 1}, and at least"):
        verify(amd, chip, report, demands)


def test_the_launch_itself_must_have_been_above_the_floor(amd: Amd, chip: SnpChip) -> None:
    report = Report(chip.chip_id, launch_tcb=bytes((2, 0, 0, 0, 0, 0, 8, 115)))
    with pytest.raises(Outdated, match="the launch's TCB has bootloader 2, and at least 3"):
        verify(amd, chip, report.signed_by(chip.key))


def test_a_report_of_another_chip_is_refused(amd: Amd, chip: SnpChip) -> None:
    with pytest.raises(Untrusted, match="the certificate is of another chip than the report"):
        verify(amd, chip, Report(bytes(64)).signed_by(chip.key))


def test_a_report_at_another_tcb_than_its_keys_is_refused(amd: Amd, chip: SnpChip) -> None:
    report = Report(chip.chip_id, reported_tcb=bytes((4, 0, 0, 0, 0, 0, 9, 200)))
    with pytest.raises(Untrusted, match=r"is for the TCB bootloader=3.* report for bootloader=4"):
        verify(amd, chip, report.signed_by(chip.key))


def test_a_chips_key_does_not_sign_as_a_providers(amd: Amd, chip: SnpChip) -> None:
    with pytest.raises(Untrusted, match="says that a VLEK signed it, and the certificate"):
        verify(amd, chip, Report(chip.chip_id, signing_key=VLEK).signed_by(chip.key))


@pytest.mark.parametrize("masked", [{"key_masked": True}, {"signing_key": 7}])
def test_a_report_that_nobody_signed_is_refused(
    masked: dict[str, Any], amd: Amd, chip: SnpChip
) -> None:
    with pytest.raises(Untrusted, match="is not signed: the host has masked the chip's key"):
        verify(amd, chip, replace(Report(chip.chip_id), **masked).signed_by(chip.key))


def test_another_key_did_not_sign_the_report(amd: Amd, chip: SnpChip) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(Untrusted, match="the report is not signed by this key"):
        verify(amd, chip, Report(chip.chip_id).signed_by(other))


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (Report(bytes(64), version=1), "the report is of version 1, which is not known"),
        (Report(bytes(64), version=9), "the report is of version 9, which is not known"),
        (Report(bytes(64), algorithm=2), "signed by an algorithm that is not known: 2"),
        (Report(bytes(64), signing_key=3), "names a signing key that is not known: 3"),
    ],
)
def test_a_report_that_cannot_be_understood_is_refused(
    report: Report, sentence: str, chip: SnpChip
) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse_report(report.signed_by(chip.key))


def test_a_report_that_is_cut_off_is_refused(chip: SnpChip) -> None:
    with pytest.raises(Malformed, match="the report has 1183 bytes, and must have 1184"):
        parse_report(Report(chip.chip_id).signed_by(chip.key)[:-1])


def test_a_root_of_another_name_is_refused(chip: SnpChip) -> None:
    with pytest.raises(Untrusted, match="do not hold the issuer of the report's key, CN=SEV-Milan"):
        endorsed(new_amd("Genoa"), chip)


def test_a_root_that_only_bears_the_name_is_refused(chip: SnpChip) -> None:
    with pytest.raises(Untrusted, match="CN=SEV-VCEK is not signed by its issuer's key"):
        endorsed(new_amd(), chip)


def test_an_ask_that_the_root_did_not_sign_is_refused(amd: Amd, chip: SnpChip) -> None:
    other = new_amd()
    with pytest.raises(Untrusted, match="CN=SEV-Milan is not signed by its issuer's key"):
        verify_endorsement(chip.certificate, [amd.ask, other.ark], NOW)


def test_there_is_one_root(amd: Amd, chip: SnpChip) -> None:
    for authorities, count in (([amd.ask], 0), ([amd.ask, amd.ark, amd.ark], 2)):
        with pytest.raises(Untrusted, match=f"hold {count} roots, and must hold one"):
            verify_endorsement(chip.certificate, authorities, NOW)


def test_the_root_does_not_sign_reports_keys(amd: Amd, chip: SnpChip) -> None:
    leaf = issued("SEV-VCEK", chip.key.public_key(), "ARK-Milan", amd.ark_key)
    with pytest.raises(Untrusted, match="the root itself signed the report's key"):
        verify_endorsement(leaf, [amd.ask, amd.ark], NOW)


@pytest.mark.parametrize("years", [-2, 31])
def test_certificates_have_their_time(years: int, amd: Amd, chip: SnpChip) -> None:
    then = NOW + datetime.timedelta(days=365 * years)
    with pytest.raises(Untrusted, match="the certificate CN=ARK-Milan is not valid at this time"):
        endorsed(amd, chip, then)


def leaf(amd: Amd, key: ec.EllipticCurvePublicKey, said: dict[str, bytes]) -> x509.Certificate:
    return issued("SEV-VCEK", key, "SEV-Milan", amd.ask_key, said)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"4": b"chip"}, "does not say which TCB it stands for"),
        ({oid: integer(0) for oid in TCB}, "names neither a chip nor a provider"),
        ({**{oid: integer(0) for oid in TCB}, "3.1": b"\2\2\1"}, "a TCB that is no integer"),
        ({**{oid: integer(0) for oid in TCB}, "3.1": b""}, "a TCB that is no integer"),
    ],
)
def test_a_key_must_say_what_it_stands_for(
    said: dict[str, bytes], sentence: str, amd: Amd, chip: SnpChip
) -> None:
    with pytest.raises(Malformed, match=sentence):
        verify_endorsement(leaf(amd, chip.key.public_key(), said), [amd.ask, amd.ark], NOW)


def test_a_key_says_which_tcb_it_stands_for(amd: Amd) -> None:
    chip = new_snp_chip(amd, extensions={"3.9": integer(7)})
    assert endorsed(amd, chip).tcb == Tcb(bootloader=3, tee=0, snp=8, microcode=115, fmc=7)


def test_a_key_of_another_curve_is_refused(amd: Amd) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(Malformed, match=r"has no key of P-384"):
        verify_endorsement(leaf(amd, key, {}), [amd.ask, amd.ark], NOW)


@pytest.mark.parametrize("data", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x03\x02\x01"])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match=r"the file is no X\.509 certificate, or it is damaged"):
        parse_x509(data, "the file")


def test_a_bundle_has_a_bound(amd: Amd) -> None:
    with pytest.raises(Malformed, match="holds 9 certificates, and at most 8 do"):
        parse_x509(amd.ark.public_bytes(Encoding.PEM) * 9, "the file")


def test_turin_has_a_layout_of_its_own() -> None:
    packed = bytes((1, 2, 3, 4, 0, 0, 0, 5))
    assert parse_tcb(packed, 0x1A) == Tcb(fmc=1, bootloader=2, tee=3, snp=4, microcode=5)
    assert parse_tcb(packed, 0x19) == Tcb(bootloader=1, tee=2, snp=0, microcode=5)


def test_a_report_of_turin_is_read_in_that_layout(chip: SnpChip) -> None:
    packed = bytes((1, 2, 3, 4, 0, 0, 0, 5))
    for version, family, fmc in ((2, 0x1A, 0), (3, 0x19, 0), (3, 0x1A, 1)):
        report = Report(chip.chip_id, version=version, family=family, reported_tcb=packed)
        assert parse_report(report.signed_by(chip.key)).reported_tcb.fmc == fmc


@pytest.mark.parametrize("text", ["", "bootloader", "bootloader=256", "moon=1", "tee=-1"])
def test_what_is_no_tcb_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="is no part of a TCB; there are bootloader, tee, snp"):
        read_tcb(text)


def test_every_field_is_read_from_its_place(chip: SnpChip) -> None:
    def packed(first: int) -> bytes:
        return bytes((first, 2, 3, 4, 0, 0, 0, 5))

    others = {
        0x10: b"\xff" * 32,  # family and image
        0x38: packed(10),
        0x48: b"\1\0\0\0\xff",  # an author key was used: it masks nothing
        0x110: b"a" * 48,
        0x1E0: packed(11),
        0x280: b"\xff",
    }
    report = Report(
        chip.chip_id,
        version=3,
        family=0x1A,
        policy=0x30001,
        launch_tcb=packed(12),
        reported_tcb=packed(13),
        others=others,
    )
    found = parse_report(report.signed_by(chip.key))
    assert (found.version, found.policy, found.vmpl) == (3, 0x30001, 0)
    assert found.author_key_digest == b"a" * 48
    assert not found.chip_key_masked
    assert [
        each.fmc
        for each in (found.current_tcb, found.committed_tcb, found.launch_tcb, found.reported_tcb)
    ] == [10, 11, 12, 13]


def test_a_chip_may_have_a_short_id(amd: Amd) -> None:
    short = b"8 bytes."
    chip = new_snp_chip(amd, extensions={"4": short})
    verify(amd, chip, Report(short.ljust(64, b"\0")).signed_by(chip.key))


def test_certificates_are_valid_to_the_last_second(amd: Amd, chip: SnpChip) -> None:
    leaf = chip.certificate
    for moment in (leaf.not_valid_before_utc, leaf.not_valid_after_utc):
        assert endorsed(amd, chip, moment).chip_id == chip.chip_id


def test_a_bundle_may_begin_with_a_blank_line_and_have_eight_certificates(amd: Amd) -> None:
    assert len(parse_x509(b"\n" + amd.ark.public_bytes(Encoding.PEM) * 8, "the file")) == 8


def test_a_damaged_name_is_refused(amd: Amd, chip: SnpChip) -> None:
    der = chip.certificate.public_bytes(Encoding.DER).replace(
        b"\x0c\tSEV-Milan", b"\x03\tSEV-Milan"
    )
    [leaf] = parse_x509(der, "the key's certificate")
    with pytest.raises(Malformed, match="the certificate of the report's key, or one of AMD's, is"):
        verify_endorsement(leaf, [amd.ask, amd.ark], NOW)


def test_a_name_that_a_library_warns_of_is_refused_without_a_word(amd: Amd, chip: SnpChip) -> None:
    der, name, country = (
        chip.certificate.public_bytes(Encoding.DER),
        b"\x55\x04\x03",
        b"\x55\x04\x06",
    )
    at = der.rindex(name)  # the subject's; a country has two letters, and this one has eight
    changed = x509.load_der_x509_certificate(der[:at] + country + der[at + len(name) :])
    with pytest.raises(Untrusted, match="is not signed by its issuer's key"):
        endorsed(amd, replace(chip, certificate=changed))


def test_a_tcb_has_eight_bytes_and_parts_of_one() -> None:
    assert read_tcb("snp=255") == Tcb(snp=255) == Tcb(0, 0, 255, 0, 0)
    assert Tcb(bootloader=1, tee=2, snp=3, microcode=4, fmc=5) != Tcb()
    assert set(msgspec.structs.astuple(Tcb())) == {0}
    with pytest.raises(Malformed, match="a TCB version has 7 bytes, and must have 8"):
        parse_tcb(bytes(7), None)
