"""What a guest does by itself: bounded, told apart, and found again after a gap."""

import pytest

from supervisor.vm import observations as ob
from supervisor.vm.commands import Pause
from supervisor.vm.decide import decide
from supervisor.vm.decision import GUEST_EVENTS_MAX
from supervisor.vm.events import Outcome
from supervisor.vm.observations import Observation, RunState
from supervisor.vm.state import Phase
from tests.vm.states import COMPUTING, FROZEN, NOW, STATES, after
from tests.vm.tables import reaction

TALKED_OUT = after(COMPUTING, *[ob.AgentProgress(1, 0.5, "half")] * GUEST_EVENTS_MAX)
SLEEPING = STATES["sleeping"]


@pytest.mark.parametrize(
    "seen",
    [
        ob.AgentProgress(1, 0.5, "half"),
        ob.GuestSuspended(1),
        ob.GuestCrashLoaded(1),
        ob.MemoryFailed(1, "guest: inject"),
        ob.QmpCommandFailed(1, "query-status", "timed out"),
        ob.ObservationsDropped(1, 7),
    ],
    ids=lambda seen: type(seen).__name__,
)
def test_a_guest_that_has_said_enough_is_not_recorded(seen: Observation) -> None:
    assert len(decide(COMPUTING, seen, NOW).events) == 1
    assert decide(TALKED_OUT, seen, NOW).events == ()
    assert decide(TALKED_OUT, seen, NOW).effects == decide(COMPUTING, seen, NOW).effects


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (ob.GuestPanicked(1), Outcome.GUEST_PANICKED),
        (ob.GuestHung(1), Outcome.GUEST_HUNG),
        (ob.GuestShutDown(1, ob.ShutdownCause.GUEST_SHUTDOWN), Outcome.GUEST_POWERED_OFF),
        (ob.AgentFinished(1, 3, 0, 2048), Outcome.COMPLETED),
    ],
    ids=lambda part: type(part).__name__,
)
def test_how_a_guest_ends_is_recorded_whatever_it_has_said(
    seen: Observation, outcome: Outcome
) -> None:
    ending = after(TALKED_OUT, seen).ending
    assert ending is not None
    assert ending.outcome is outcome


def test_a_stop_that_nobody_ordered_is_asked_about_before_it_is_believed() -> None:
    assert reaction(COMPUTING, FROZEN) == "-> QueryRunState"
    assert reaction(after(COMPUTING, Pause()), FROZEN) == "GuestPaused"
    found = ob.RunStateObserved(1, RunState.PAUSED)
    assert after(COMPUTING, found).phase is Phase.PAUSED


def test_a_pause_reaches_a_guest_that_slept_when_it_wakes() -> None:
    pausing = after(SLEEPING, Pause())
    assert reaction(pausing, ob.GuestWoke(1)) == "GuestWoke -> ExecuteQmp(stop)"


def test_a_reset_wakes_a_guest() -> None:
    reset = after(SLEEPING, ob.GuestWasReset(1, by_guest=False))
    assert reset.current.suspended_since_ms is None


def test_sleep_that_was_missed_is_found_again() -> None:
    asleep = after(COMPUTING, ob.RunStateObserved(1, RunState.SUSPENDED), now_ms=NOW + 7)
    assert asleep.current.suspended_since_ms == NOW + 7
    awake = after(asleep, ob.RunStateObserved(1, RunState.RUNNING))
    assert awake.current.suspended_since_ms is None
