"""A reset: the guest boots again within its launch, and not for ever."""

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.commands import Stop
from supervisor.vm.decide import decide
from supervisor.vm.decision import GUEST_EVENTS_MAX
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import TimerKind
from tests.vm.states import EVIDENCE, NOW, PROCESS, STATES, after

ORDERED = ob.GuestWasReset(1, by_guest=False)
BY_FIRMWARE = ob.GuestWasReset(1, by_guest=True)
READY = ob.AgentReady(1, seq=1)
FOUND = ob.Reattached(1, PROCESS, ob.RunState.RUNNING, EVIDENCE)
FORBID = fx.ExecuteQmp(1, QmpCommand.FORBID_REBOOT)
RESET = fx.ExecuteQmp(1, QmpCommand.RESET)


def test_a_reboot_of_the_guest_is_allowed_only_until_it_is_up_again() -> None:
    assert FORBID in decide(after(STATES["computing"], ORDERED), READY, NOW).effects
    assert FORBID not in decide(STATES["booting"], READY, NOW).effects


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


def test_an_ordered_reset_begins_the_count_anew() -> None:
    state = after(STATES["computing"], *[BY_FIRMWARE] * GUEST_EVENTS_MAX, ORDERED)
    assert state.current.guest_events == 0
    assert isinstance(decide(state, BY_FIRMWARE, NOW).events[0], ev.GuestReset)


def test_a_reset_that_was_ordered_is_carried_out_after_a_restart() -> None:
    resetting = STATES["resetting"]
    assert RESET in decide(resetting, FOUND, NOW).effects
    seen = after(resetting, ORDERED)
    assert RESET not in decide(seen, FOUND, NOW).effects


def test_a_reset_is_not_repeated_on_a_guest_that_is_to_end() -> None:
    stopping = after(STATES["resetting"], Stop())
    assert RESET not in decide(stopping, FOUND, NOW).effects
    off = ob.Reattached(1, PROCESS, ob.RunState.SHUTDOWN, EVIDENCE)
    assert RESET not in decide(STATES["resetting"], off, NOW).effects


def test_after_a_restart_reboots_are_still_the_guests_own_once_it_is_up_again() -> None:
    up = after(STATES["computing"], ORDERED, READY)
    assert FORBID in decide(up, FOUND, NOW).effects
    assert FORBID not in decide(after(STATES["computing"], ORDERED), FOUND, NOW).effects
