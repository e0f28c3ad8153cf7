"""A deletion stays ordered while something of the VM cannot be removed, and ends when it can."""

import pytest

from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.commands import Delete, Start
from supervisor.vm.decide import decide
from supervisor.vm.decision import Decision
from supervisor.vm.observations import TimerKind
from supervisor.vm.recover import recover
from supervisor.vm.removing import RETRY_MAX_MS, RETRY_MIN_MS
from supervisor.vm.state import Desired, Phase
from tests.vm.states import NOW, STATES, after
from tests.vm.tables import DUE, reaction, render

DELETING = STATES["deleting"]
FAILED = ob.RemovalFailed(1, "launch-1/keep: Operation not permitted")
KEPT = after(DELETING, FAILED)


def test_a_vm_whose_files_stay_is_there_and_says_why() -> None:
    assert (KEPT.phase, KEPT.desired) == (DELETING.phase, Desired.DELETED)
    assert KEPT.detail == f"{DELETING.detail}; its files cannot be removed: {FAILED.detail}"


def test_only_the_first_failure_is_an_event() -> None:
    assert reaction(DELETING, FAILED) == "RemovalFailed -> ArmTimer(removal)"
    assert reaction(KEPT, FAILED) == "-> ArmTimer(removal)"


@pytest.mark.parametrize(
    ("failing_ms", "retry_ms"),
    [
        (0, RETRY_MIN_MS),
        (10 * RETRY_MIN_MS, 10 * RETRY_MIN_MS),
        (100 * RETRY_MAX_MS, RETRY_MAX_MS),
        (-5000, RETRY_MIN_MS),  # the clock was set back
    ],
)
def test_it_is_tried_again_after_as_long_as_it_has_failed(failing_ms: int, retry_ms: int) -> None:
    now = NOW + failing_ms
    (timer,) = decide(KEPT, FAILED, now).effects
    assert timer == fx.ArmTimer(1, TimerKind.REMOVAL, now + retry_ms)


def test_it_is_tried_again_by_the_timer_at_the_next_start_and_when_ordered_again() -> None:
    assert reaction(KEPT, ob.TimerFired(1, TimerKind.REMOVAL, DUE)) == "-> RemoveFiles"
    assert render(Decision(effects=recover(KEPT))) == "-> RemoveFiles"
    assert reaction(KEPT, Delete()) == "-> RemoveFiles"


def test_it_is_not_started_meanwhile_and_gone_once_its_files_are() -> None:
    assert reaction(KEPT, Start()) == "denied: wrong-phase"
    assert after(KEPT, ob.FilesRemoved(1)).phase is Phase.DELETED


def test_of_a_vm_that_was_never_launched_it_is_the_same() -> None:
    kept = after(STATES["queued"], Delete(), ob.RemovalFailed(0, "Not a directory"))
    assert kept.detail.endswith("Not a directory")
    assert reaction(kept, ob.TimerFired(0, TimerKind.REMOVAL, DUE)) == "-> RemoveFiles"
