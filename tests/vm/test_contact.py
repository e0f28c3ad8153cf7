"""A QEMU that lives and is silent keeps its phase, is asked again, and is never killed for it."""

import pytest

from supervisor.vm import effects as fx
from supervisor.vm import observations as ob
from supervisor.vm.contact import RETRY_MAX_MS, RETRY_MIN_MS
from supervisor.vm.decide import decide
from supervisor.vm.observations import RunState, TimerKind
from tests.vm.states import COMPUTING, EVIDENCE, NOW, PROCESS, after
from tests.vm.tables import DUE, reaction

LOST = ob.QmpLost(1, "end of file")
SILENT = after(COMPUTING, LOST)


def test_silence_changes_no_phase() -> None:
    assert SILENT.phase is COMPUTING.phase
    assert SILENT.silent_since_ms == NOW


@pytest.mark.parametrize("still_silent", [LOST, ob.ProcessSilent(1, "no greeting")])
def test_only_the_first_silence_is_an_event(still_silent: ob.QmpLost | ob.ProcessSilent) -> None:
    assert reaction(SILENT, still_silent) == "-> ArmTimer(contact)"


def test_a_silent_qemu_is_looked_for_when_the_contact_timer_fires() -> None:
    assert reaction(SILENT, ob.TimerFired(1, TimerKind.CONTACT, DUE)) == "-> Reattach"


@pytest.mark.parametrize(
    ("silent_ms", "retry_ms"),
    [
        (0, RETRY_MIN_MS),
        (10 * RETRY_MIN_MS, 10 * RETRY_MIN_MS),
        (100 * RETRY_MAX_MS, RETRY_MAX_MS),
        (-5000, RETRY_MIN_MS),  # the clock was set back
    ],
)
def test_it_is_asked_again_after_as_long_as_it_has_been_silent(
    silent_ms: int, retry_ms: int
) -> None:
    now = NOW + silent_ms
    (timer,) = decide(SILENT, LOST, now).effects
    assert timer == fx.ArmTimer(1, TimerKind.CONTACT, now + retry_ms)


def test_contact_that_is_found_again_ends_the_silence_and_admits_the_gap() -> None:
    found = ob.Reattached(1, PROCESS, RunState.RUNNING, EVIDENCE)
    gap = decide(SILENT, found, NOW + 9000).events[1]
    assert (gap.from_ms, gap.to_ms) == (NOW, NOW + 9000)  # type: ignore[union-attr]
    assert after(SILENT, found).silent_since_ms is None


def test_an_order_to_stop_reaches_a_silent_qemu_by_signals() -> None:
    due = ob.TimerFired(1, TimerKind.TTL, DUE)
    refused = ob.QmpCommandFailed(1, "quit", "not connected")
    overdue = after(SILENT, ob.TimerFired(1, TimerKind.TTL, SILENT.deadlines[TimerKind.TTL]))
    assert reaction(SILENT, due).startswith("StopOrdered(ttl-expired, ask-guest)")
    step = ob.TimerFired(1, TimerKind.STOP, overdue.deadlines[TimerKind.STOP])
    assert reaction(after(overdue, step), refused) == (
        "QmpCommandFailed, StopEscalated(terminate) -> SignalProcess(SIGTERM), ArmTimer(stop)"
    )
