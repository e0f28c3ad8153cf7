"""A launch: what is measured of it, what its owner demands, and the secret that it gets."""

import os
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.sev.errors import Malformed, Mismatch, Outdated, SevRefused, Unfit, WeakPolicy
from supervisor.sev.firmware_version import FirmwareVersion, parse_firmware_version
from supervisor.sev.measurement import Demands, Evidence, parse_measurement, verify_launch
from supervisor.sev.octets import from_base64, from_hex, to_base64
from supervisor.sev.policy import PolicyFlag, describe_policy, parse_flags, parse_policy
from supervisor.sev.secret import Secret, parse_secret_table, seal, secret_table
from supervisor.sev.session import TransportKeys
from tests.sev.chip import Launch, Refused
from tests.sev.flips import flipped

DIGEST, OTHER_DIGEST = bytes(range(32)), bytes(32)
KEYS = TransportKeys(tek=b"t" * 16, tik=b"i" * 16)
POLICY = int(PolicyFlag.NODBG | PolicyFlag.NOKS)
DEMANDS = Demands(
    POLICY, PolicyFlag.NODBG | PolicyFlag.NOKS, FirmwareVersion(1, 51, 3), (OTHER_DIGEST, DIGEST)
)
LUKS = UUID("736869e5-84f0-4973-92ec-06879ce3da0b")

secrets_of_guests = st.lists(
    st.builds(Secret, st.uuids(), st.binary(max_size=300)),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each.guid,
)


def launched(policy: int = POLICY, digest: bytes = DIGEST) -> tuple[Launch, Evidence]:
    launch = Launch(KEYS.tek, KEYS.tik, policy)
    blob = launch.measure(digest)
    return launch, Evidence(parse_measurement(blob), FirmwareVersion(*launch.version), policy)


def replaced(evidence: Evidence, **changes: object) -> Evidence:
    return msgspec.structs.replace(evidence, **changes)


def test_the_launch_that_was_ordered_is_accepted() -> None:
    _, evidence = launched()
    assert verify_launch(evidence, DEMANDS, KEYS.tik) == DIGEST


def test_another_launch_is_refused() -> None:
    _, evidence = launched(digest=b"x" * 32)
    with pytest.raises(Mismatch, match="the measurement is of another launch"):
        verify_launch(evidence, DEMANDS, KEYS.tik)


def test_a_launch_under_another_session_is_refused() -> None:
    _, evidence = launched()
    with pytest.raises(Mismatch, match="the measurement is of another launch"):
        verify_launch(evidence, DEMANDS, b"j" * 16)


def test_an_owner_who_accepts_no_digest_accepts_no_launch() -> None:
    _, evidence = launched()
    with pytest.raises(Mismatch):
        verify_launch(evidence, msgspec.structs.replace(DEMANDS, digests=()), KEYS.tik)


@given(data=st.data())
def test_no_byte_of_a_measurement_can_change(data: st.DataObject) -> None:
    _, evidence = launched()
    forged = parse_measurement(data.draw(flipped(evidence.measurement.encode())))
    with pytest.raises(Mismatch):
        verify_launch(replaced(evidence, measurement=forged), DEMANDS, KEYS.tik)


@pytest.mark.parametrize("claimed", [(1, 55, 25), (1, 56, 24), (2, 55, 24)])
def test_a_host_cannot_claim_a_later_firmware(claimed: tuple[int, int, int]) -> None:
    _, evidence = launched()
    with pytest.raises(Mismatch, match="the measurement is of another launch"):
        verify_launch(replaced(evidence, firmware=FirmwareVersion(*claimed)), DEMANDS, KEYS.tik)


def test_another_policy_than_the_sessions_is_refused() -> None:
    _, evidence = launched(policy=0)
    with pytest.raises(Mismatch, match="reports the policy 0x0, and the session was made for 0x3"):
        verify_launch(evidence, DEMANDS, KEYS.tik)


def test_a_policy_that_lacks_a_demanded_flag_is_refused_with_the_danger() -> None:
    _, evidence = launched()
    demands = msgspec.structs.replace(DEMANDS, flags=PolicyFlag.NODBG | PolicyFlag.ES)
    with pytest.raises(WeakPolicy, match="0x3 lacks es, which is demanded: the host may read and"):
        verify_launch(evidence, demands, KEYS.tik)


@pytest.mark.parametrize(
    ("minimum", "accepted"),
    [
        ("1.55.24", True),
        ("1.55.25", False),
        ("1.54.99", True),
        ("1.56.0", False),
        ("0.99.99", True),
        ("2.0.0", False),
    ],
)
def test_the_oldest_firmware_that_is_accepted(minimum: str, accepted: bool) -> None:  # noqa: FBT001
    _, evidence = launched()
    demands = msgspec.structs.replace(DEMANDS, minimum_firmware=parse_firmware_version(minimum))
    if accepted:
        verify_launch(evidence, demands, KEYS.tik)
    else:
        sentence = f"the platform's firmware is 1.55.24, and at least {minimum} is demanded"
        with pytest.raises(Outdated, match=sentence):
            verify_launch(evidence, demands, KEYS.tik)


@pytest.mark.parametrize("text", ["", "1.55", "1.55.24.1", "1.55.256", "1.55.x", "-1.5.5"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match=r"takes MAJOR\.MINOR\.BUILD"):
        parse_firmware_version(text)


def test_a_measurement_that_is_cut_off_is_refused() -> None:
    with pytest.raises(Malformed, match="the measurement has 47 bytes, and must have 48"):
        parse_measurement(bytes(47))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("0x3", 3),
        ("5", 5),
        ("nodbg,noks", 3),
        ("NODBG,ES", 5),
        ("0x37010003", 0x37010003),
        ("0", 0),
    ],
)
def test_a_policy_is_a_number_or_names(text: str, policy: int) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nodebug", "nodebug is no flag of a policy; there are nodbg, noks, es, nosend, domain"),
        ("0x100000000", "does not fit into 32 bits"),
        ("-1", "does not fit into 32 bits"),
        ("0x43", "sets the reserved bits 0x40"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse_policy(text)


def test_policies_are_told_in_words() -> None:
    assert describe_policy(0x37010005) == "nodbg, es, API 1.55 or later"
    assert describe_policy(0) == "everything is allowed"


@pytest.mark.parametrize("flag", list(PolicyFlag))
def test_every_flag_can_be_demanded(flag: PolicyFlag) -> None:
    assert parse_flags(str(flag.name).lower()) == flag
    rest = 0x3F & ~flag
    _, evidence = launched(policy=rest)
    demands = msgspec.structs.replace(DEMANDS, policy=rest, flags=flag)
    with pytest.raises(WeakPolicy, match=f"lacks {str(flag.name).lower()},"):
        verify_launch(evidence, demands, KEYS.tik)


@given(secrets_of_guests)
def test_a_guest_reads_the_table_that_its_owner_wrote(secrets: list[Secret]) -> None:
    table = secret_table(secrets)
    assert len(table) % 16 == 0
    assert table[:16] == UUID("1e74f542-71dd-4d66-963e-ef4287ff173b").bytes_le
    assert parse_secret_table(table) == secrets


@given(secrets_of_guests)
@settings(deadline=None)
def test_the_processor_opens_what_was_sealed_for_its_launch(secrets: list[Secret]) -> None:
    launch, evidence = launched()
    packet = seal(secret_table(secrets), KEYS, evidence.measurement)
    assert parse_secret_table(launch.take(packet.header, packet.ciphertext)) == secrets


@given(data=st.data())
def test_no_byte_of_a_packet_can_change(data: st.DataObject) -> None:
    launch, evidence = launched()
    packet = seal(secret_table([Secret(LUKS, b"key")]), KEYS, evidence.measurement)
    forged = data.draw(flipped(packet.header + packet.ciphertext))
    with pytest.raises(Refused):
        launch.take(forged[:52], forged[52:])


def test_a_packet_is_for_one_launch() -> None:
    _, evidence = launched()
    packet = seal(secret_table([Secret(LUKS, b"key")]), KEYS, evidence.measurement)
    later, _ = launched()
    with pytest.raises(Refused):
        later.take(packet.header, packet.ciphertext)


def test_every_packet_has_an_iv_of_its_own() -> None:
    _, evidence = launched()
    one, other = (seal(bytes(16), KEYS, evidence.measurement) for _ in range(2))
    assert one.header[4:20] != other.header[4:20]
    assert one.header[:4] == other.header[:4] == bytes(4)  # not compressed


@pytest.mark.parametrize(("room", "limit"), [(0xC00, 0xC00), (1 << 20, 16 << 10)])
def test_secrets_fill_the_room_and_no_more(room: int, limit: int) -> None:
    _, evidence = launched()
    fits = secret_table([Secret(LUKS, bytes(limit - 40))])
    assert len(seal(fits, KEYS, evidence.measurement, room).ciphertext) == limit
    with pytest.raises(Unfit, match=f"as a table, and there is room for {limit}"):
        seal(secret_table([Secret(LUKS, bytes(limit - 39))]), KEYS, evidence.measurement, room)


def test_a_table_needs_secrets_with_names_of_their_own() -> None:
    with pytest.raises(Unfit, match="there is no secret"):
        secret_table([])
    with pytest.raises(Unfit, match="two secrets have the same GUID"):
        secret_table([Secret(LUKS, b"a"), Secret(LUKS, b"b")])


@given(st.one_of(st.binary(max_size=80), flipped(secret_table([Secret(LUKS, b"key")]))))
def test_a_damaged_table_is_read_or_refused(table: bytes) -> None:
    try:
        secrets = parse_secret_table(table)
    except SevRefused:
        return
    assert sum(20 + len(each.data) for each in secrets) <= len(table)


def test_a_secret_shows_in_no_representation() -> None:
    content = os.urandom(8)
    assert repr(Secret(LUKS, content)) == f"Secret({LUKS}, ...)"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (b"", "does not begin with its GUID"),
        (secret_table([Secret(LUKS, b"")])[:-8] + b"\1" * 8, "bytes follow the secret table"),
        (secret_table([Secret(LUKS, bytes(8))])[:40], "is longer than the table"),
    ],
)
def test_a_damaged_table_is_refused_with_its_damage(table: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        parse_secret_table(table)


def test_the_largest_numbers_are_read() -> None:
    assert parse_firmware_version("255.255.255") == FirmwareVersion(255, 255, 255)
    assert parse_policy("0xffff003f") == 0xFFFF003F


def test_a_digest_of_another_length_is_refused() -> None:
    _, evidence = launched()
    demands = msgspec.structs.replace(DEMANDS, digests=(bytes(48),))
    with pytest.raises(Malformed, match="a launch digest has 48 bytes, and must have 32"):
        verify_launch(evidence, demands, KEYS.tik)


def test_texts_may_be_broken_into_lines_and_come_back() -> None:
    assert from_base64("AAEC\nAwQF\n", "it") == from_base64(b"AAECAwQF", "it") == bytes(range(6))
    assert to_base64(bytes(range(6))) == "AAECAwQF"
    assert from_hex("00ff", 2, "it") == b"\0\xff"
