import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.sev.amd_certificate import AmdRoots, parse_amd_certificates, trusted_roots
from supervisor.sev.certificate import Usage, parse_certificate
from supervisor.sev.errors import Malformed, SevRefused, Untrusted
from supervisor.sev.platform import (
    Capabilities,
    Platform,
    cek_address,
    parse_platform,
    read_capabilities,
    verify_platform,
    with_signed_cek,
)
from tests.sev.amd import Generation, amd_certificate
from tests.sev.chip import NO_SIGNATURE, Chip, new_chip
from tests.sev.flips import flipped


def roots_of(generation: Generation) -> AmdRoots:
    return trusted_roots(parse_amd_certificates(generation.ask + generation.ark))


def platform_of(chip: Chip) -> Platform:
    cek = parse_certificate(chip.cek, Usage.CEK)
    return with_signed_cek(parse_platform(chip.pdh, chip.cert_chain), cek)


def test_a_whole_chain_leads_to_the_key_of_sessions(chip: Chip, generation: Generation) -> None:
    found = verify_platform(platform_of(chip), roots_of(generation))
    assert found == chip.pdh_key.public_key()


def test_a_generation_with_longer_keys_is_verified_alike(other_generation: Generation) -> None:
    chip = new_chip(other_generation)
    found = verify_platform(platform_of(chip), roots_of(other_generation))
    assert found == chip.pdh_key.public_key()


def test_another_generations_ask_did_not_sign_the_cek(
    chip: Chip, other_generation: Generation
) -> None:
    with pytest.raises(Untrusted, match="the CEK certificate is not signed by this ASK"):
        verify_platform(platform_of(chip), roots_of(other_generation))


def test_a_cek_that_amd_has_not_signed_is_refused(chip: Chip, generation: Generation) -> None:
    with pytest.raises(Untrusted, match="the CEK certificate bears no signature of the ASK"):
        verify_platform(parse_platform(chip.pdh, chip.cert_chain), roots_of(generation))


def test_the_signed_cek_must_be_of_the_same_chip(chip: Chip, generation: Generation) -> None:
    other = parse_certificate(new_chip(generation).cek, Usage.CEK)
    with pytest.raises(Untrusted, match="is of another chip"):
        with_signed_cek(parse_platform(chip.pdh, chip.cert_chain), other)


@pytest.mark.parametrize(
    ("of_another", "sentence"),
    [
        ("pdh", "the PDH certificate is not signed by this PEK"),
        ("pek", "the PEK certificate is not signed by this CEK"),
        ("oca", "the PEK certificate is not signed by this OCA"),
    ],
)
def test_a_certificate_of_another_chip_breaks_the_chain(
    chip: Chip, generation: Generation, of_another: str, sentence: str
) -> None:
    other = new_chip(generation)
    mixed = replace(chip, **{of_another: getattr(other, of_another)})
    with pytest.raises(Untrusted, match=sentence):
        verify_platform(platform_of(mixed), roots_of(generation))


@pytest.mark.parametrize("part", ["pdh", "pek", "oca", "cek"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_byte_of_a_platforms_certificates_can_change(
    part: str, data: st.DataObject, chip: Chip, generation: Generation
) -> None:
    changed: dict[str, Any] = {part: data.draw(flipped(getattr(chip, part)))}
    forged = replace(chip, **changed)
    with pytest.raises(SevRefused):
        verify_platform(platform_of(forged), roots_of(generation))


@pytest.mark.parametrize("part", ["ark", "ask"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_byte_of_amds_certificates_can_change(
    part: str, data: st.DataObject, generation: Generation
) -> None:
    changed: dict[str, Any] = {part: data.draw(flipped(getattr(generation, part)))}
    forged = replace(generation, **changed)
    with pytest.raises(SevRefused):
        roots_of(forged)


@pytest.mark.parametrize("part", ["pdh", "pek", "oca", "cek"])
def test_a_certificate_is_written_as_it_was_read(part: str, chip: Chip) -> None:
    data = getattr(chip, part)
    assert parse_certificate(data, Usage[part.upper()]).encode() == data


def test_a_certificate_may_be_of_any_version_of_the_api(chip: Chip) -> None:
    later = chip.pdh[:4] + b"\1\x37" + chip.pdh[6:]
    assert parse_certificate(later, Usage.PDH).encode() == later


def test_real_processors_leave_something_behind_a_key(chip: Chip) -> None:
    coordinates_end = 16 + 4 + 2 * 72
    later = chip.pdh[:coordinates_end] + b"\xff" * (1044 - coordinates_end) + chip.pdh[1044:]
    keys = [parse_certificate(each, Usage.PDH).public_key() for each in (chip.pdh, later)]
    assert keys[0] == keys[1]


def test_amds_certificates_are_written_as_they_were_read(generation: Generation) -> None:
    data = generation.ask + generation.ark
    assert b"".join(each.encode() for each in parse_amd_certificates(data)) == data


def with_number(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + number.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda pdh: pdh[:-1], "the PDH certificate has 2083 bytes, and must have 2084"),
        (lambda pdh: with_number(pdh, 0, 2), "of version 2, and only 1 is known"),
        (lambda pdh: with_number(pdh, 8, Usage.CEK), "is another certificate: its usage is CEK"),
        (lambda pdh: with_number(pdh, 8, 0x77), "is another certificate: its usage is 0x77"),
        (lambda pdh: with_number(pdh, 16, 1), "a key of another curve than P-384"),
        (lambda pdh: with_number(pdh, 20, 1), "key is no point of P-384"),
        (
            lambda pdh: pdh[:1044] + NO_SIGNATURE[:519] + b"\1" + pdh[1564:],
            "bytes that are not zero",
        ),
        (
            lambda pdh: with_number(pdh, 1044, Usage.OCA),
            "a signature of somebody who does not sign",
        ),
        (lambda pdh: pdh[:1564] + pdh[1044:1564], "a signature of somebody who does not sign"),
    ],
)
def test_a_damaged_certificate_is_refused_with_its_damage(
    damage: Callable[[bytes], bytes], sentence: str, chip: Chip
) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse_certificate(damage(chip.pdh), Usage.PDH)


def test_a_signature_of_another_algorithm_or_size_is_refused(
    chip: Chip, generation: Generation
) -> None:
    rsa = replace(chip, pdh=with_number(chip.pdh, 1048, 1))
    with pytest.raises(Untrusted, match="its signature is none of ECDSA"):
        verify_platform(platform_of(rsa), roots_of(generation))
    large = replace(chip, pdh=chip.pdh[:1110] + b"\1" + chip.pdh[1111:])
    with pytest.raises(Malformed, match="numbers are too large for P-384"):
        verify_platform(platform_of(large), roots_of(generation))


def test_bytes_after_an_rsa_signature_are_refused(chip: Chip, generation: Generation) -> None:
    other = replace(chip, cek=with_number(chip.cek, 1052 + 256, 1))
    with pytest.raises(Untrusted, match="the CEK certificate is not signed by this ASK"):
        verify_platform(platform_of(other), roots_of(generation))


def test_a_cek_signed_by_no_rsa_is_refused(chip: Chip, generation: Generation) -> None:
    other = replace(chip, cek=with_number(chip.cek, 1048, 2))
    with pytest.raises(Untrusted, match="the CEK certificate is not signed by this ASK"):
        verify_platform(platform_of(other), roots_of(generation))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda g: b"", "not an ASK and an ARK, and nothing else"),
        (lambda g: g.ask + g.ark + b"x", "not an ASK and an ARK, and nothing else"),
        (lambda g: g.ask, "must be one ASK and one ARK"),
        (lambda g: g.ask + g.ask, "must be one ASK and one ARK"),
        (lambda g: g.ask[:40], "cut off, or it is something else"),
        (lambda g: g.ask[:-1], "the ASK certificate has 831 bytes of 832"),
        (lambda g: with_number(g.ask, 0, 2), "version or key size that is not known"),
        (lambda g: with_number(g.ask, 36, 5), "neither an ARK nor an ASK"),
        (lambda g: with_number(g.ask, 40, 5), "the ASK certificate has bytes that are not zero"),
        (
            lambda g: with_number(with_number(g.ask, 56, 1024), 60, 1024),
            "version or key size that is not known",
        ),
        (lambda g: g.ask[:575] + b"\0" + g.ask[576:], "a key of another size than it says"),
    ],
)
def test_damaged_roots_are_refused_with_their_damage(
    damage: Callable[[Generation], bytes], sentence: str, generation: Generation
) -> None:
    with pytest.raises(Malformed, match=sentence):
        trusted_roots(parse_amd_certificates(damage(generation)))


def test_an_ask_of_another_root_is_refused(
    generation: Generation, other_generation: Generation
) -> None:
    with pytest.raises(Untrusted, match="the ASK certificate names another ARK"):
        trusted_roots(parse_amd_certificates(generation.ask + other_generation.ark))


def test_an_ask_that_only_claims_its_root_is_refused(generation: Generation) -> None:
    ark_id = generation.ark[4:20]
    key = generation.ask_key
    forged = amd_certificate(Usage.ASK, key, generation.ask[4:20], ark_id, key)
    with pytest.raises(Untrusted, match="the ASK certificate is not signed by this ARK"):
        trusted_roots(parse_amd_certificates(forged + generation.ark))


def test_a_root_that_another_key_signed_is_none(generation: Generation) -> None:
    ark_id = generation.ark[4:20]
    forged = amd_certificate(Usage.ARK, generation.ark_key, ark_id, ark_id, generation.ask_key)
    with pytest.raises(Untrusted, match="the ARK certificate is not signed by itself"):
        trusted_roots(parse_amd_certificates(generation.ask + forged))


def test_qmps_answer_is_read(chip: Chip) -> None:
    answer = json.loads(chip.capabilities())["return"]
    platform, chip_id = read_capabilities(msgspec.convert(answer, Capabilities))
    assert (platform.pdh.encode(), platform.cek.encode()) == (chip.pdh, chip.bare_cek)
    assert cek_address(chip_id) == f"https://kdsintf.amd.com/cek/id/{chip.chip_id.hex()}"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("pdh", "???", "the PDH certificate is not base64"),
        ("cert-chain", "AAAA", "certificate chain has 3 bytes, and must have 6252"),
        ("cpu0-id", "AAAA", "the chip's id has 3 bytes, and must have 64"),
    ],
)
def test_damage_in_qmps_answer_is_named(name: str, value: str, sentence: str, chip: Chip) -> None:
    answer = json.loads(chip.capabilities())["return"]
    with pytest.raises(Malformed, match=sentence):
        read_capabilities(msgspec.convert({**answer, name: value}, Capabilities))


def test_no_byte_of_the_signed_ceks_key_may_differ(chip: Chip) -> None:
    reported = parse_platform(chip.pdh, chip.cert_chain)
    cek = parse_certificate(chip.cek, Usage.CEK)
    at = 1043
    other = cek.signed[:at] + bytes([cek.signed[at] ^ 1])
    with pytest.raises(Untrusted, match="is of another chip: its key is another one"):
        with_signed_cek(reported, msgspec.structs.replace(cek, signed=other))


def test_the_roots_are_those_that_were_named(generation: Generation) -> None:
    roots = roots_of(generation)
    assert (roots.ask.encode(), roots.ark.encode()) == (generation.ask, generation.ark)


def test_an_empty_place_for_a_signature_names_no_algorithm(chip: Chip) -> None:
    with pytest.raises(Malformed, match="bytes that are not zero where the format reserves them"):
        parse_certificate(with_number(chip.pdh, 1568, 2), Usage.PDH)
