"""The questions that a new daemon asks about each VM, from its state alone."""

import pytest

from supervisor.vm.commands import Stop
from supervisor.vm.decision import Decision
from supervisor.vm.effects import ArmTimer
from supervisor.vm.observations import TimerKind
from supervisor.vm.recover import recover
from tests.vm.states import COMPUTING, STATES, after
from tests.vm.tables import render

QUESTIONS = {
    "defined": "-> Reserve",
    "queued": "-> Reserve",
    "launching": "-> Reattach, ArmTimer(launch)",
    "spawned": "-> Reattach, ArmTimer(launch)",
    "booting": "-> Reattach, ArmTimer(launch), ArmTimer(ttl)",
    "computing": "-> Reattach, ArmTimer(ttl)",
    "sleeping": "-> Reattach, ArmTimer(ttl)",
    "resetting": "-> Reattach, ArmTimer(ttl)",
    "paused": "-> Reattach, ArmTimer(ttl)",
    "asked": "-> Reattach, ArmTimer(stop)",
    "quitting": "-> Reattach, ArmTimer(stop)",
    "killing": "-> Reattach, ArmTimer(stop)",
    "crashing": "-> Reattach, ArmTimer(stop)",
    "collecting": "-> CollectResult",
    "backoff": "-> ReleaseLaunch, ArmTimer(backoff)",
    "again": "-> ReleaseLaunch, Reserve",
    "stopped": "-> ReleaseLaunch",
    "failed": "-> ReleaseLaunch",
    "started": "-> ReleaseLaunch, Reserve",
    "deleting": "-> RemoveFiles",
    "deleted": "",
}


@pytest.mark.parametrize("state", STATES)
def test_recovery_asks_what_the_state_leaves_open(state: str) -> None:
    assert render(Decision(effects=recover(STATES[state]))) == QUESTIONS[state]


def test_a_vm_that_was_never_launched_has_nothing_to_release() -> None:
    assert recover(after(STATES["defined"], Stop())) == ()


def test_the_process_that_is_looked_for_is_the_recorded_one() -> None:
    launch = COMPUTING.current
    question = recover(COMPUTING)[0]
    assert question.launch == launch.number
    assert (question.uuid, question.process) == (launch.uuid, launch.process)  # type: ignore[union-attr]


def test_a_guest_is_heard_before_a_deadline_that_passed_meanwhile_counts() -> None:
    patience = {
        (effect.kind, effect.patience_ms > 0)
        for name in ("booting", "computing", "asked", "backoff")
        for effect in recover(STATES[name])
        if isinstance(effect, ArmTimer)
    }
    assert patience == {
        (TimerKind.LAUNCH, True),
        (TimerKind.TTL, True),
        (TimerKind.STOP, False),
        (TimerKind.BACKOFF, False),
    }
