"""A reset: the guest boots again within its launch, and not for ever."""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decide import decide
from supervisor.vm.decision import GUEST_EVENTS_MAX
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import TimerKind
from tests.vm.states import NOW, STATES, after

ORDERED = ob.GuestWasReset(1, by_guest=False)
BY_FIRMWARE = ob.GuestWasReset(1, by_guest=True)
READY = ob.AgentReady(1, seq=1)


def test_a_reboot_of_the_guest_is_allowed_only_until_it_is_up_again() -> None:
    forbid = fx.ExecuteQmp(1, QmpCommand.FORBID_REBOOT)
    assert forbid in decide(after(STATES["computing"], ORDERED), READY, NOW).effects
    assert forbid not in decide(STATES["booting"], READY, NOW).effects


def test_the_firmwares_own_reset_gets_no_more_time() -> None:
    reset = after(STATES["computing"], ORDERED)
    decision = decide(reset, BY_FIRMWARE, NOW + 5000)
    assert decision.events == (ev.GuestReset(1, True, reset.deadlines[TimerKind.LAUNCH]),)
    assert decision.effects == ()


def test_a_guest_that_resets_for_ever_is_ended() -> None:
    state = after(STATES["computing"], *[BY_FIRMWARE] * GUEST_EVENTS_MAX)
    decision = decide(state, BY_FIRMWARE, NOW)
    (ordered,) = decision.events
    assert isinstance(ordered, ev.StopOrdered)
    assert ordered.outcome is ev.Outcome.GUEST_REBOOTED
