from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.sev.errors import Malformed
from supervisor.sev.session import TransportKeys, new_session, parse_keys
from tests.sev.chip import Chip, Refused, start
from tests.sev.flips import flipped

POLICY = 0x3


def pdh(chip: Chip) -> ec.EllipticCurvePublicKey:
    return chip.pdh_key.public_key()


@given(policy=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_processor_unwraps_the_owners_keys(policy: int, chip: Chip) -> None:
    session = new_session(pdh(chip), policy)
    launch = start(chip, session.blob, session.certificate, policy)
    assert TransportKeys(launch.tek, launch.tik) == session.keys


def test_a_session_is_of_one_platform(chip: Chip) -> None:
    session = new_session(pdh(chip), POLICY)
    other = replace(chip, pdh_key=ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(Refused):
        start(other, session.blob, session.certificate, POLICY)


def test_a_session_is_of_one_policy(chip: Chip) -> None:
    session = new_session(pdh(chip), POLICY)
    with pytest.raises(Refused):
        start(chip, session.blob, session.certificate, 0)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_byte_of_a_session_can_change(data: st.DataObject, chip: Chip) -> None:
    session = new_session(pdh(chip), POLICY)
    with pytest.raises(Refused):
        start(chip, data.draw(flipped(session.blob)), session.certificate, POLICY)


def test_every_session_is_fresh_in_all_its_parts(chip: Chip) -> None:
    one, other = new_session(pdh(chip), POLICY), new_session(pdh(chip), POLICY)
    parts = [
        (s.keys.tek, s.keys.tik, s.blob[:16], s.blob[48:64], s.certificate) for s in (one, other)
    ]
    assert all(mine != theirs for mine, theirs in zip(*parts, strict=True))


def test_keys_show_in_no_representation(chip: Chip) -> None:
    session = new_session(pdh(chip), POLICY)
    assert repr(session.keys) == "TransportKeys(tek=..., tik=...)"
    assert repr(session.keys.tik) not in repr(session)


def test_keys_are_read_as_they_are_kept() -> None:
    keys = TransportKeys(bytes(range(16)), bytes(16))
    assert parse_keys(keys.encode()) == keys
    with pytest.raises(Malformed, match="session's keys has 31 bytes, and must have 32"):
        parse_keys(keys.encode()[1:])


def test_the_owners_certificate_says_what_its_key_is_for(chip: Chip) -> None:
    session = new_session(pdh(chip), POLICY)
    head = session.certificate[:20]
    version, usage, algorithm, curve = (head[at : at + 4] for at in (0, 8, 12, 16))
    assert [int.from_bytes(each, "little") for each in (version, usage, algorithm, curve)] == [
        *(1, 0x1003, 3, 2)
    ]
    assert len(session.certificate) == 2084
    assert session.policy == POLICY
