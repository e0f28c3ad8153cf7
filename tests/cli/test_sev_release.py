"""`sev release` and its kin: an owner decides over launches that wait on a daemon."""

import base64
import hashlib
import json
from itertools import islice
from pathlib import Path

import pytest
from chronovisor_api import v1

from supervisor.cli.connection import reach
from supervisor.cli.exits import ExitCode
from supervisor.cli.options import Access
from supervisor.cli.sev.deciding import Released, Wish
from supervisor.cli.sev.releasing import Refused, fleet
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.policy import PolicyFlag
from supervisor.sev.secret import parse_secret_table
from tests.cli.conftest import Run, answer
from tests.cli.owner import POLICY, Owner
from tests.cli.peer import Peer
from tests.sev.amd import Generation, new_generation
from tests.sev.chip import Chip, Launch, new_chip


@pytest.fixture(scope="module")
def generation() -> Generation:
    return new_generation(2048)


@pytest.fixture(scope="module")
def chip(generation: Generation) -> Chip:
    return new_chip(generation)


@pytest.fixture
def owner(tmp_path: Path, run: Run, chip: Chip, generation: Generation) -> Owner:
    return Owner(tmp_path, run, chip, generation)


def waiting(peer: Peer, owner: Owner, vm_id: str = "iris-1") -> Launch:
    """Let a VM wait with a launch of the owner's session."""
    blob = base64.b64decode((owner.session / "session.b64").read_bytes())
    launch, measurement = owner.launch()
    major, minor, build = launch.version
    evidence = v1.SevEvidence(
        measurement=base64.b64decode(measurement),
        api_major=major,
        api_minor=minor,
        build=build,
        policy=POLICY,
    )
    peer.supervisor.vms[vm_id] = v1.Vm(
        vm_id=vm_id,
        launch=1,
        labels={"team": "blue"},
        phase=v1.Phase.AWAITING_VERIFICATION,
        launch_state=v1.LaunchState(
            stage=v1.AttestationStage.MEASURED,
            evidence=v1.Evidence(sev=evidence),
            claims=v1.LaunchClaims(secret_room=0xC00),
            session_sha256=hashlib.sha256(blob).hexdigest(),
        ),
    )
    return launch


def words(owner: Owner, *more: str, digest: str | None = None) -> tuple[str, ...]:
    demands = ("--digest", digest or owner.digest(), "--min-version", "1.51.0")
    return ("sev", "release", "iris-1", "--session", str(owner.session), *demands, *more)


def test_a_verified_launch_gets_its_secret_and_runs(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    launch = waiting(peer, owner)
    told = answer(owner.run, *words(owner, "--secret", f"luks-key:{owner.file('disk.key')}"))
    [sent] = peer.supervisor.orders
    assert isinstance(sent, v1.InjectLaunchSecretRequest)
    [entry] = parse_secret_table(launch.take(sent.packet_header, sent.secret))
    packet = hashlib.sha256(sent.packet_header + sent.secret).hexdigest()
    assert entry.data == b"swordfish"
    assert told == {
        "released": True,
        "vm_id": "iris-1",
        "launch": 1,
        "digest": owner.digest(),
        "packet_sha256": packet,
    }


def test_without_a_secret_a_verified_launch_is_approved(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    waiting(peer, owner)
    result = owner.run(*words(owner))
    assert result.exit_code == 0, result.stderr
    assert "launch 1 of iris-1 is your guest" in result.stdout
    assert [type(order) for order in peer.supervisor.orders] == [v1.ApproveLaunchRequest]


def test_the_kept_packet_is_sent_again_for_this_very_launch(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    waiting(peer, owner)
    vm, sealing = peer.supervisor.vms["iris-1"], f"luks-key:{owner.file('disk.key')}"
    assert owner.run(*words(owner, "--secret", sealing)).exit_code == 0
    assert vm.launch_state is not None
    vm.phase, vm.launch_state.stage = (
        v1.Phase.AWAITING_VERIFICATION,
        v1.AttestationStage.SECRET_ACCEPTED,
    )
    assert owner.run(*words(owner, "--secret", sealing)).exit_code == 0
    first, second = peer.supervisor.orders
    assert first == second
    assert owner.run(*words(owner, "--secret", sealing)).exit_code == 0  # it runs already
    assert len(peer.supervisor.orders) == 2


def test_a_session_seals_for_no_second_launch(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    waiting(peer, owner)
    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}")
    assert owner.run(*words(owner, *sealing)).exit_code == 0
    waiting(peer, owner)  # the same session, another nonce
    result = owner.run(*words(owner, *sealing))
    assert result.exit_code == ExitCode.UNFIT
    assert "sealed for another launch" in result.stderr
    assert len(peer.supervisor.orders) == 1


@pytest.mark.parametrize(
    ("more", "digest", "code"),
    [
        ((), "00" * 32, ExitCode.MISMATCH),
        (("--require", "es"), None, ExitCode.WEAK_POLICY),
        (("--min-version", "1.99.0"), None, ExitCode.OUTDATED),
    ],
)
def test_what_is_not_the_owners_guest_gets_nothing(
    owner: Owner, peer: Peer, more: tuple[str, ...], digest: str | None, code: ExitCode
) -> None:
    owner.make_session()
    waiting(peer, owner)
    sealing = ("--secret", f"luks-key:{owner.file('disk.key')}")
    assert owner.run(*words(owner, *sealing, *more, digest=digest)).exit_code == code
    assert peer.supervisor.orders == []
    assert not (owner.session / "secret.json").exists()


def test_a_launch_of_another_session_is_refused(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    waiting(peer, owner)
    state = peer.supervisor.vms["iris-1"].launch_state
    assert state is not None
    state.session_sha256 = "0" * 64
    result = owner.run(*words(owner))
    assert (result.exit_code, peer.supervisor.orders) == (ExitCode.MISMATCH, [])


def test_a_fleet_is_released_and_strangers_are_rejected(
    owner: Owner, peer: Peer, state_dir: Path
) -> None:
    owner.make_session()
    waiting(peer, owner, "good")
    waiting(peer, owner, "other")
    state = peer.supervisor.vms["other"].launch_state
    assert state is not None
    assert state.evidence is not None
    assert state.evidence.sev is not None
    state.evidence.sev.measurement = bytes(48)
    waiting(peer, owner, "green")
    peer.supervisor.vms["green"].labels = {"team": "green"}
    wish = Wish(FirmwareVersion(1, 51, 0), (bytes.fromhex(owner.digest()),), PolicyFlag.NODBG, ())
    with reach(Access(state_dir)) as daemon:
        released, refused = islice(fleet(daemon, owner.folder, {"team": "blue"}, wish), 2)
    assert released == Released("good", 1, owner.digest(), "")
    assert isinstance(refused, Refused)
    assert (refused.vm_id, refused.kind) == ("other", "mismatch")
    approved, rejected = peer.supervisor.orders
    assert isinstance(approved, v1.ApproveLaunchRequest)
    assert isinstance(rejected, v1.RejectLaunchRequest)
    assert (rejected.vm_id, rejected.launch) == ("other", 1)
    assert "another launch" in rejected.reason


@pytest.mark.parametrize(
    "given",
    [("--watch",), ("iris-1",), ("iris-1", "--watch", "--sessions", "."), ("--sessions", ".")],
)
def test_a_vm_and_a_fleet_exclude_each_other(run: Run, given: tuple[str, ...]) -> None:
    demands = ("--digest", "00" * 32, "--min-version", "1.51.0")
    assert run("sev", "release", *given, *demands).exit_code == ExitCode.USAGE


def test_orders_reach_the_daemon(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    for command in ("approve", "reject"):
        waiting(peer, owner)
        assert owner.run("sev", command, "iris-1").exit_code == 0
    session = ("--session", str(owner.session))
    assert owner.run("sev", "provide-session", "iris-1", *session).exit_code == 0
    approved, rejected, provided = peer.supervisor.orders
    assert isinstance(approved, v1.ApproveLaunchRequest)
    assert len(approved.measurement) == 48
    assert isinstance(rejected, v1.RejectLaunchRequest)
    assert isinstance(provided, v1.ProvideSessionRequest)
    assert provided.session is not None
    assert len(provided.session.session_blob) == 128


def test_a_report_is_kept_with_its_nonce_told(owner: Owner, peer: Peer) -> None:
    owner.make_session()
    waiting(peer, owner)
    peer.supervisor.report = v1.GetAttestationReportResponse(launch=1, report=b"signed")
    file = owner.folder / "report.bin"
    told = answer(owner.run, "sev", "report", "iris-1", "-o", str(file))
    [asked] = peer.supervisor.orders
    assert isinstance(asked, v1.GetAttestationReportRequest)
    assert (file.read_bytes(), told["nonce"]) == (b"signed", asked.nonce.hex())
    refusal = v1.Unavailable(reason="the guest has no device for it")
    peer.supervisor.report = v1.GetAttestationReportResponse(launch=1, unavailable=refusal)
    result = owner.run("sev", "report", "iris-1", "-o", str(file))
    assert result.exit_code == ExitCode.DENIED
    assert "the guest has no device for it" in result.stderr
    bad = owner.run("sev", "report", "iris-1", "-o", str(file), "--nonce", "xyz")
    assert bad.exit_code == ExitCode.USAGE


def test_the_platform_is_asked_of_the_daemon(owner: Owner, peer: Peer, chip: Chip) -> None:
    said = json.loads(chip.capabilities())["return"]
    peer.supervisor.platform = v1.GetPlatformResponse(
        sev=v1.SevPlatform(
            pdh=chip.pdh,
            cert_chain=chip.cert_chain,
            cpu0_id=chip.chip_id,
            cbitpos=51,
            reduced_phys_bits=1,
        )
    )
    saved = owner.run("sev", "platform", "--json")
    assert json.loads(saved.stdout) == said
    owner.write("platform.json", saved.stdout.encode())
    assert owner.run("sev", "verify-chain", *owner.chain).exit_code == 0
    assert chip.chip_id.hex() in owner.run("sev", "platform").stdout


def test_a_host_without_a_processor_says_why(run: Run, peer: Peer) -> None:
    why = v1.Unavailable(reason="KVM is not there")
    peer.supervisor.platform = v1.GetPlatformResponse(unavailable=why)
    result = run("sev", "platform", "--json")
    assert (result.exit_code, result.stdout) == (ExitCode.HOST_TROUBLE, "")
    assert "KVM is not there" in result.stderr
