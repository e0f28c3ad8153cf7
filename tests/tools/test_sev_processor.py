"""The simulated secure processor refuses as the firmware's specification says."""

from collections.abc import Callable

import pytest
from chronovisor_sev.chip import Chip, load_chip, new_chip, save_new_chip
from chronovisor_sev.processor import ErrorCode, FirmwareError, GuestState, Launch
from chronovisor_sev.vendor import new_generation

from supervisor.sev.amd_certificate import parse_amd_certificates, trusted_roots
from supervisor.sev.certificate import Usage, parse_certificate
from supervisor.sev.platform import parse_platform, verify_platform, with_signed_cek
from supervisor.sev.session import Session, new_session

POLICY = 0x3
HEADER, SECRET = bytes(52), bytes(16)


@pytest.fixture(scope="module")
def chip() -> Chip:
    return new_chip(new_generation(2048))


@pytest.fixture
def session(chip: Chip) -> Session:
    return new_session(chip.pdh_key.public_key(), POLICY)


@pytest.fixture
def started(chip: Chip, session: Session) -> Launch:
    launch = Launch(chip)
    launch.start(session.blob, session.certificate, POLICY)
    launch.update(b"firmware")
    return launch


@pytest.fixture
def measured(started: Launch) -> Launch:
    started.measure()
    return started


def refused(what: Callable[[], object]) -> ErrorCode:
    with pytest.raises(FirmwareError) as refusal:
        what()
    return refusal.value.code


def test_the_owners_chain_of_checks_accepts_a_kept_chip(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("platform")
    save_new_chip(directory)
    chip = load_chip(directory)
    roots = trusted_roots(parse_amd_certificates((directory / "ask_ark.cert").read_bytes()))
    platform = parse_platform(chip.pdh, chip.cert_chain)
    cek = parse_certificate((directory / "cek.cert").read_bytes(), Usage.CEK)

    pdh = verify_platform(with_signed_cek(platform, cek), roots)

    assert pdh.public_numbers() == chip.pdh_key.public_key().public_numbers()


@pytest.mark.parametrize("size", [127, 129])
def test_a_session_of_another_length(size: int, chip: Chip, session: Session) -> None:
    blob = session.blob.ljust(size, b"\0")[:size]
    start = Launch(chip).start
    assert refused(lambda: start(blob, session.certificate, POLICY)) is ErrorCode.INVALID_LENGTH


def test_a_certificate_of_another_usage(chip: Chip, session: Session) -> None:
    start = Launch(chip).start
    assert refused(lambda: start(session.blob, chip.pek, POLICY)) is ErrorCode.INVALID_CERTIFICATE


def test_a_session_for_another_chip(chip: Chip, session: Session) -> None:
    other = Launch(new_chip(new_generation(2048)))
    code = refused(lambda: other.start(session.blob, session.certificate, POLICY))
    assert (code, other.state) == (ErrorCode.BAD_MEASUREMENT, GuestState.UNINIT)


def test_a_policy_that_demands_later_firmware(chip: Chip) -> None:
    policy = POLICY | 2 << 16
    session = new_session(chip.pdh_key.public_key(), policy)
    start = Launch(chip).start
    code = refused(lambda: start(session.blob, session.certificate, policy))
    assert code is ErrorCode.POLICY_FAILURE


def test_each_command_has_its_state(chip: Chip, session: Session) -> None:
    fresh = Launch(chip)
    for command in (lambda: fresh.update(b""), fresh.measure, fresh.finish):
        assert refused(command) is ErrorCode.INVALID_GUEST_STATE
    assert refused(lambda: fresh.report(bytes(16))) is ErrorCode.INVALID_GUEST_STATE


def test_a_guest_starts_and_is_measured_once(measured: Launch, session: Session) -> None:
    again = lambda: measured.start(session.blob, session.certificate, POLICY)  # noqa: E731
    for command in (again, lambda: measured.update(b"more"), measured.measure):
        assert refused(command) is ErrorCode.INVALID_GUEST_STATE


def test_a_running_guest_takes_no_secret(measured: Launch) -> None:
    measured.finish()
    assert refused(lambda: measured.take(HEADER, SECRET)) is ErrorCode.INVALID_GUEST_STATE


@pytest.mark.parametrize(
    ("header", "secret"),
    [(HEADER[1:], SECRET), (HEADER, b""), (HEADER, SECRET[1:]), (HEADER, bytes(16 * 1024 + 16))],
)
def test_a_packet_of_another_length(header: bytes, secret: bytes, measured: Launch) -> None:
    assert refused(lambda: measured.take(header, secret)) is ErrorCode.INVALID_LENGTH


def test_a_packet_that_nobody_signed(measured: Launch) -> None:
    assert refused(lambda: measured.take(HEADER, SECRET)) is ErrorCode.BAD_MEASUREMENT
    assert measured.state is GuestState.SECRET
