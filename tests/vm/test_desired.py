"""An order that was accepted is obeyed, even if the daemon died before it could pass it on."""

import pytest

from supervisor.vm import observations as ob
from supervisor.vm.commands import Kill, Pause, Reset, Resume, Stop
from supervisor.vm.observations import RunState
from supervisor.vm.state import Desired, Phase, VmState
from tests.vm.states import COMPUTING, EVIDENCE, FROZEN, PROCESS, RESUMED, STATES, after
from tests.vm.tables import reaction

PAUSED = STATES["paused"]
PAUSING = after(COMPUTING, Pause())
RESUMING = after(PAUSED, Resume())


def found(run_state: RunState) -> ob.Reattached:
    return ob.Reattached(1, PROCESS, run_state, EVIDENCE)


def test_a_pause_that_was_ordered_is_carried_out_after_a_restart() -> None:
    assert reaction(PAUSING, found(RunState.RUNNING)) == (
        "Adopted, ObservationGap -> ExecuteQmp(stop)"
    )


def test_a_resume_that_was_ordered_is_carried_out_after_a_restart() -> None:
    assert reaction(RESUMING, found(RunState.PAUSED)) == (
        "Adopted, ObservationGap -> ExecuteQmp(cont)"
    )


def test_a_paused_guest_that_was_reset_stays_paused_over_a_restart() -> None:
    # QEMU calls a machine that was reset while it was paused "prelaunch".
    reset = after(PAUSED, Reset(), ob.GuestWasReset(1, by_guest=False))
    assert reaction(reset, found(RunState.PRELAUNCH)) == "Adopted, ObservationGap"


@pytest.mark.parametrize("order", [Pause(), Resume()], ids=["pause", "resume"])
def test_a_second_order_while_the_first_is_on_its_way_wins(order: Pause | Resume) -> None:
    vm = after(PAUSING, Resume()) if isinstance(order, Resume) else after(RESUMING, Pause())
    wanted = Desired.RUNNING if isinstance(order, Resume) else Desired.PAUSED
    assert vm.desired is wanted
    # Both orders are obeyed by QEMU one after the other, whichever was first.
    settled = (
        after(vm, FROZEN, RESUMED) if wanted is Desired.RUNNING else after(vm, RESUMED, FROZEN)
    )
    assert settled.phase is (Phase.RUNNING if wanted is Desired.RUNNING else Phase.PAUSED)


def test_a_guest_that_runs_against_a_pause_is_paused_again() -> None:
    assert reaction(PAUSED, RESUMED) == "GuestResumed -> ExecuteQmp(stop)"


def test_an_order_is_given_again_to_whoever_repeats_it_before_it_shows() -> None:
    assert reaction(PAUSING, Pause()) == "-> ExecuteQmp(stop)"
    assert reaction(RESUMING, Resume()) == "-> ExecuteQmp(cont)"


@pytest.mark.fault("stop-does-not-last")
@pytest.mark.parametrize(
    ("before", "order", "repeated"),
    [
        (COMPUTING, Stop(), "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)"),
        (PAUSED, Stop(), "-> ExecuteQmp(quit), ArmTimer(stop)"),
        (COMPUTING, Kill(), "-> SignalProcess(SIGKILL), ArmTimer(stop)"),
    ],
)
def test_a_stop_stays_a_stop_over_a_restart(
    before: VmState, order: Stop | Kill, repeated: str
) -> None:
    stopping = after(before, order)
    assert reaction(stopping, found(RunState.RUNNING)) == f"Adopted, ObservationGap {repeated}"


def test_a_guest_that_went_down_meanwhile_is_not_given_the_rest_of_its_grace() -> None:
    assert reaction(STATES["asked"], found(RunState.SHUTDOWN)) == (
        "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
    )


def test_a_stop_before_there_is_a_process_is_tried_once_there_is_one() -> None:
    stopping = after(STATES["launching"], Stop(), ob.QmpCommandFailed(1, "quit", "not connected"))
    assert reaction(stopping, ob.QemuSpawned(1, PROCESS)) == (
        "QemuSpawned -> SignalProcess(SIGTERM), ArmTimer(stop)"
    )


def test_another_command_that_fails_does_not_hurry_a_quit() -> None:
    failed = ob.QmpCommandFailed(1, "query-status", "timed out")
    assert reaction(STATES["quitting"], failed) == "QmpCommandFailed"
