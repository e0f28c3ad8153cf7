"""kill -9 of the daemon in every state of a confidential launch: the launch is where it was."""

import signal

import pytest
from chronovisor_sev.tampering import Tamper

from supervisor.vm.effects import INJECT
from tests.e2e.sev_owner import SERVE, Owner
from tests.e2e.test_while_away import until

pytestmark = pytest.mark.guest

DENIED, NOT_FOUND = 4, 5
REPORT = "8 patients, mean age 64.62 years\n"


def killed(owner: Owner) -> None:
    owner.daemon.end(signal.SIGKILL)
    owner.daemon.start(*SERVE)


def ended_well(owner: Owner, launches: int = 1) -> None:
    owner.daemon.wait_for("one", "vm.stopped.v1")
    assert owner.report("one") == REPORT
    assert owner.types("one").count("vm.qemu-spawned.v1") == launches
    assert owner.types("one").count("vm.secret-accepted.v1") == 1


@pytest.mark.parametrize("state", ["vm.qemu-spawned.v1", "vm.launch-measured.v1"])
def test_a_launch_waits_on_for_its_owner(state: str, owner: Owner) -> None:
    owner.session()
    owner.submit("one")
    owner.daemon.wait_for("one", state)

    killed(owner)

    owner.release("one")
    ended_well(owner)
    assert owner.types("one").count("vm.launch-measured.v1") == 1


def test_a_packet_whose_answer_was_lost_is_sent_again_and_no_other(owner: Owner) -> None:
    owner.tamper(Tamper.LOST_ANSWER)
    owner.session()
    owner.submit("one")
    with owner.begin_release("one"):
        # Not only accepted, which is before anybody is told, but on its way to the processor: the
        # first answer is the one that is lost.
        until(lambda: INJECT in owner.daemon.run("transcript", "one", codes=(0, NOT_FOUND)))
        killed(owner)
    evidence = owner.measured("one")["data"]["evidence"]["measurement"]
    assert owner.inject("one", evidence, bytes(52), bytes(16)) != ""

    owner.release("one")

    ended_well(owner)
    assert len(owner.packets("one")) == 1


@pytest.mark.parametrize("state", ["vm.secret-injected.v1", "vm.guest-started.v1"])
def test_a_launch_whose_secret_is_in_needs_no_second_word(state: str, owner: Owner) -> None:
    owner.session()
    owner.submit("one")
    with owner.begin_release("one"):
        owner.daemon.wait_for("one", state)
        killed(owner)

    ended_well(owner)


def test_a_vm_waits_on_for_the_session_of_its_next_launch(owner: Owner) -> None:
    owner.tamper(Tamper.CRASH_BEFORE_MEASURE)
    owner.session()
    owner.submit("one")
    owner.daemon.wait_for("one", "vm.failed.v1")
    owner.tamper(Tamper.NONE)
    owner.run("start", "one")
    owner.daemon.wait_for("one", "vm.session-awaited.v1")

    killed(owner)

    old = str(owner.directory / "launch-1")
    owner.run("sev", "provide-session", "one", "--session", old, codes=(DENIED,))
    owner.session("launch-2")
    owner.run("sev", "provide-session", "one", "--session", "launch-2")
    owner.measured("one")
    owner.run("sev", "provide-session", "one", "--session", "launch-2")  # its answer was lost
    owner.release("one", session="launch-2")
    ended_well(owner, launches=2)
