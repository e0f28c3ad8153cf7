"""A confidential launch with everybody in it: owner, daemon, and a SIMULATED secure processor."""

from pathlib import Path

import pytest
from chronovisor_sev.tampering import Tamper

from tests.e2e.sev_owner import SERVE, TRUST, Owner

pytestmark = pytest.mark.guest

UNTRUSTED, MISMATCH = 21, 22
ENDED = "vm.failed.v1"
REPORT = "8 patients, mean age 64.62 years\n"


def test_a_guest_gets_its_secret_once_its_owner_has_verified_the_launch(owner: Owner) -> None:
    owner.session()
    owner.submit("one")

    owner.release("one")

    owner.daemon.wait_for("one", "vm.stopped.v1")
    assert owner.report("one") == REPORT
    told = [each.removeprefix("vm.").removesuffix(".v1") for each in owner.types("one")]
    order = ("launch-measured", "secret-accepted", "secret-injected", "launch-approved")
    places = [told.index(each) for each in order]
    assert places == sorted(places)


def test_the_proof_of_the_measurement_needs_no_daemon(owner: Owner) -> None:
    owner.session()
    owner.submit("one")
    position = owner.measured("one")["position"]
    (owner.directory / "log.pub").write_text(owner.run("log", "key"))
    owner.run("log", "prove", str(position), "-o", "measured.proof")
    owner.daemon.end_for_good()

    shown = owner.run("log", "check-proof", "measured.proof", "--key", "log.pub")

    assert "the proof holds" in shown


def test_a_chain_that_amd_does_not_vouch_for_gets_no_session(owner: Owner) -> None:
    owner.tamper(Tamper.BAD_CHAIN)
    owner.platform()

    why = owner.run("sev", "verify-chain", "platform.json", *TRUST, codes=(UNTRUSTED,))

    assert "not signed by this" in why


@pytest.mark.parametrize("tamper", [Tamper.WRONG_MEASUREMENT, Tamper.OTHER_COMMAND_LINE])
def test_a_launch_that_is_another_gets_no_secret(tamper: Tamper, owner: Owner) -> None:
    owner.tamper(tamper)
    owner.session()
    owner.submit("one")

    why = owner.release("one", codes=(MISMATCH,))

    assert "measurement is of another launch" in why
    assert not (owner.directory / "launch-1" / "secret.json").exists()
    assert "vm.secret-accepted.v1" not in owner.types("one")


@pytest.mark.parametrize(
    ("tamper", "outcome"),
    [
        (Tamper.WEAK_POLICY, "attestation-failed"),
        (Tamper.CRASH_BEFORE_MEASURE, "qemu-failed-to-start"),
        (Tamper.BYPASS, "launch-bypassed"),
    ],
)
def test_the_daemon_ends_a_launch_that_goes_its_own_way(
    tamper: Tamper, outcome: str, owner: Owner
) -> None:
    owner.tamper(tamper)
    owner.session()

    owner.submit("one")

    assert owner.daemon.wait_for("one", ENDED)["data"]["outcome"] == outcome


@pytest.mark.parametrize(
    ("tamper", "outcome"),
    [
        (Tamper.REPLAYED_NONCE, "attestation-failed"),
        (Tamper.REFUSED_SECRET, "attestation-failed"),
        (Tamper.CRASH_AFTER_SECRET, "qemu-crashed"),
    ],
)
def test_a_secret_that_does_not_go_in_ends_the_launch(
    tamper: Tamper, outcome: str, owner: Owner
) -> None:
    owner.tamper(tamper)
    owner.session()
    owner.submit("one")

    why = owner.release("one", codes=tuple(range(1, 30)))

    assert why
    assert owner.daemon.wait_for("one", ENDED)["data"]["outcome"] == outcome
    assert "vm.launch-approved.v1" not in owner.types("one")


@pytest.mark.skipif(Path("/dev/sev").exists(), reason="this host has SEV")
def test_a_real_qemu_without_sev_says_so_and_so_does_a_launch(owner: Owner) -> None:
    owner.session()
    owner.daemon.end()
    del owner.daemon.more_environment["PATH"]  # from now on the real QEMU
    owner.daemon.start(*SERVE)

    why = owner.run("sev", "platform", codes=tuple(range(1, 30)))
    owner.submit("one")

    failed = owner.daemon.wait_for("one", ENDED)["data"]
    assert "KVM" in why
    assert failed["outcome"] == "qemu-failed-to-start"
    assert "KVM" in failed["detail"]
    assert "vm.qemu-spawned.v1" not in owner.types("one")
