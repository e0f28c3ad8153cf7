"""Why a VM ended: the outcome, the phase, and a sentence with the evidence."""

import pytest

from supervisor.vm import observations as ob
from supervisor.vm.commands import Command, Kill, Stop
from supervisor.vm.events import Outcome
from supervisor.vm.observations import Observation
from supervisor.vm.outcomes import EXPLANATIONS
from supervisor.vm.state import Phase
from tests.vm.states import (
    AGENT_STARTED,
    COLLECTED,
    COMPUTING,
    CRASH,
    DIRECTORY,
    EXIT,
    EXITED,
    FINISHED,
    IMAGES,
    QUITTING,
    SHA256,
    STATES,
    after,
)

EXIT_3 = ob.AgentFinished(1, seq=3, exit_code=3, length=2048)
EXIT_3_ON_DISK = ob.ResultCollected(1, SHA256, 2048, exit_code=3)
NO_PYTHON = ob.AgentFinished(1, 1, 127, 0, "no-python", "no python3 in this guest")
TOO_LARGE = ob.AgentFinished(1, 3, 0, 0, "result-too-large", "20 MiB of 16 MiB")
POWERED_OFF = ob.GuestShutDown(1, ob.ShutdownCause.GUEST_SHUTDOWN)
REFUSED = ob.ResultRefused(1, "the header has launch 7")
DISK_FAILED = ob.GuestDiskFailed(1, "results", "write: no space left")
KILLED = ob.ProcessExited(1, ob.ExitEvidence(signal=9))

ENDS: list[tuple[str, tuple[Command | Observation, ...], Outcome, str]] = [
    ("computing", (FINISHED, EXITED, COLLECTED), Outcome.COMPLETED, "the computation finished"),
    ("computing", (FINISHED, KILLED, COLLECTED), Outcome.COMPLETED, "exit code 0"),
    ("computing", (FINISHED, EXITED, REFUSED), Outcome.RESULT_REFUSED, "launch 7"),
    ("computing", (EXIT_3, EXITED, EXIT_3_ON_DISK), Outcome.COMPUTATION_FAILED, "exit code 3"),
    ("computing", (EXIT_3, EXITED, REFUSED), Outcome.COMPUTATION_FAILED, "exit code 3"),
    ("computing", (FINISHED, EXITED, EXIT_3_ON_DISK), Outcome.COMPUTATION_FAILED, "exit code 3"),
    ("booting", (NO_PYTHON, EXITED), Outcome.COMPUTATION_FAILED, "no python3 in this guest"),
    ("computing", (TOO_LARGE, EXITED), Outcome.RESULT_REFUSED, "20 MiB"),
    ("computing", (POWERED_OFF, EXITED, COLLECTED), Outcome.COMPLETED, "finished"),
    ("computing", (POWERED_OFF, EXITED, EXIT_3_ON_DISK), Outcome.COMPUTATION_FAILED, "code 3"),
    ("computing", (POWERED_OFF, EXITED, REFUSED), Outcome.GUEST_POWERED_OFF, "powered off"),
    ("booting", (POWERED_OFF, EXITED), Outcome.GUEST_POWERED_OFF, "powered off"),
    ("computing", (ob.GuestPanicked(1), EXITED), Outcome.GUEST_PANICKED, "panicked"),
    ("computing", (DISK_FAILED, EXIT_3, EXITED), Outcome.COMPUTATION_FAILED, "no space"),
    ("computing", (DISK_FAILED, FINISHED, EXITED), Outcome.RESULT_REFUSED, "no space left"),
    ("computing", (ob.ProcessExited(1, CRASH),), Outcome.QEMU_CRASHED, "signal 11: qemu: out of"),
    ("spawned", (EXITED,), Outcome.QEMU_FAILED_TO_START, "exited with status 0"),
    ("computing", (ob.HostRebooted(1),), Outcome.LOST_BY_REBOOT, "rebooted"),
    ("computing", (Stop(), EXITED), Outcome.STOPPED_BY_CLIENT, "as ordered"),
    ("computing", (Stop(), FINISHED, EXITED, COLLECTED), Outcome.STOPPED_BY_CLIENT, "as ordered"),
    ("computing", (Stop(), Kill(), KILLED), Outcome.STOPPED_BY_CLIENT, "as ordered"),
    ("computing", (Stop(), ob.HostRebooted(1)), Outcome.STOPPED_BY_CLIENT, "as ordered"),
    ("computing", (FINISHED, ob.HostRebooted(1), COLLECTED), Outcome.COMPLETED, "finished"),
    ("computing", (Kill(), KILLED), Outcome.KILLED_BY_CLIENT, "as ordered"),
    ("launching", (Stop(), ob.NeverSpawned(1)), Outcome.STOPPED_BY_CLIENT, "before QEMU"),
    ("launching", (ob.SpawnFailed(1, "ENOEXEC"),), Outcome.QEMU_FAILED_TO_START, "ENOEXEC"),
    ("defined", (ob.LaunchImpossible(1, "no room"),), Outcome.QEMU_FAILED_TO_START, "no room"),
    ("defined", (Stop(),), Outcome.STOPPED_BY_CLIENT, "before it was launched"),
    ("computing", (ob.NeverSpawned(1),), Outcome.QEMU_CRASHED, "nobody was there"),
]

IN_GOOD_ORDER = {
    Outcome.COMPLETED,
    Outcome.STOPPED_BY_CLIENT,
    Outcome.KILLED_BY_CLIENT,
    Outcome.TTL_EXPIRED,
}


@pytest.mark.fault("end-unexplained")
@pytest.mark.parametrize(("before", "messages", "outcome", "detail"), ENDS)
def test_a_vm_ends_with_an_outcome_and_its_explanation(
    before: str, messages: tuple[Command | Observation, ...], outcome: Outcome, detail: str
) -> None:
    ended = after(STATES[before], *messages)
    assert ended.outcome is outcome
    assert detail in ended.detail
    assert ended.phase is (Phase.STOPPED if outcome in IN_GOOD_ORDER else Phase.FAILED)
    assert ended.deadlines == {}


def test_every_outcome_has_an_explanation() -> None:
    assert set(EXPLANATIONS) == set(Outcome)


def test_the_exit_code_on_the_disk_is_the_one_that_counts() -> None:
    assert after(COMPUTING, EXIT_3, EXITED, EXIT_3_ON_DISK).exit_code == 3
    assert after(COMPUTING, FINISHED, EXITED, EXIT_3_ON_DISK).exit_code == 3


@pytest.mark.parametrize("seen", [COLLECTED, REFUSED], ids=["collected", "refused"])
def test_a_disk_says_nothing_while_qemu_may_still_write_to_it(seen: Observation) -> None:
    assert after(QUITTING, seen) == QUITTING


def test_files_that_are_made_for_a_stopped_vm_are_let_go_of() -> None:
    stopped = after(STATES["defined"], Stop())
    prepared = ob.LaunchPrepared(1, DIRECTORY, IMAGES, "tcg")
    assert after(stopped, prepared) == stopped


def test_an_agent_that_keeps_breaking_the_protocol_does_not_fill_the_log() -> None:
    broke = ob.AgentBrokeProtocol(1, "not JSON")
    once = after(COMPUTING, broke)
    assert after(once, broke, broke, AGENT_STARTED) == once
    assert after(once, ob.ProcessExited(1, EXIT)).outcome is Outcome.AGENT_BROKE_PROTOCOL
