"""The table between QMP and the core, row by row."""

import pytest

from supervisor.host.monitor import COMMANDS, machine_uuid, run_state, translate
from supervisor.qmp.connection import GuestEvent
from supervisor.vm import observations as ob
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import Observation, RunState, ShutdownCause


def shutdown(reason: object) -> GuestEvent:
    return GuestEvent("SHUTDOWN", {"guest": True, "reason": reason})


@pytest.mark.parametrize(
    ("event", "observation"),
    [
        (GuestEvent("STOP", {}), ob.GuestStopped(4)),
        (GuestEvent("RESUME", {}), ob.GuestResumed(4)),
        (GuestEvent("RESET", {"guest": True, "reason": "guest-reset"}), ob.GuestWasReset(4, True)),
        (GuestEvent("RESET", {"guest": False}), ob.GuestWasReset(4, False)),
        (GuestEvent("RESET", {}), ob.GuestWasReset(4, False)),
        (GuestEvent("GUEST_PANICKED", {"action": "pause"}), ob.GuestPanicked(4)),
        (shutdown("guest-shutdown"), ob.GuestShutDown(4, ShutdownCause.GUEST_SHUTDOWN)),
        (shutdown("guest-reset"), ob.GuestShutDown(4, ShutdownCause.GUEST_RESET)),
        (shutdown("guest-panic"), ob.GuestShutDown(4, ShutdownCause.GUEST_PANIC)),
        (shutdown("host-qmp-quit"), ob.GuestShutDown(4, ShutdownCause.HOST_QUIT)),
        (shutdown("host-signal"), ob.GuestShutDown(4, ShutdownCause.HOST_SIGNAL)),
        (shutdown("host-ui"), ob.GuestShutDown(4, ShutdownCause.UNKNOWN)),
        (shutdown(["no reason"]), ob.GuestShutDown(4, ShutdownCause.UNKNOWN)),
        (GuestEvent("SHUTDOWN", {}), ob.GuestShutDown(4, ShutdownCause.UNKNOWN)),
        (
            GuestEvent(
                "BLOCK_IO_ERROR",
                {"node-name": "results", "operation": "write", "reason": "no space left"},
            ),
            ob.GuestDiskFailed(4, "results", "write: no space left"),
        ),
        (
            GuestEvent(
                "BLOCK_IO_ERROR", {"operation": "read", "reason": "I/O\x1berror" + "x" * 999}
            ),
            ob.GuestDiskFailed(
                4, "None", ("read: I/O\N{REPLACEMENT CHARACTER}error" + "x" * 999)[:256]
            ),
        ),
        (GuestEvent("GUEST_CRASHLOADED", {"action": "run"}), ob.GuestCrashLoaded(4)),
        (GuestEvent("WATCHDOG", {"action": "pause"}), ob.GuestHung(4)),
        (GuestEvent("SUSPEND", {}), ob.GuestSuspended(4)),
        (GuestEvent("WAKEUP", {}), ob.GuestWoke(4)),
        (
            GuestEvent("MEMORY_FAILURE", {"recipient": "guest", "action": "inject", "flags": {}}),
            ob.MemoryFailed(4, "guest: inject"),
        ),
        (GuestEvent("POWERDOWN", {}), None),
        (GuestEvent("VSERPORT_CHANGE", {"open": True}), None),
    ],
)
def test_events(event: GuestEvent, observation: Observation | None) -> None:
    assert translate(4, event) == observation


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"status": "prelaunch", "running": False}, RunState.PRELAUNCH),
        ({"status": "running", "running": True}, RunState.RUNNING),
        ({"status": "paused"}, RunState.PAUSED),
        ({"status": "shutdown"}, RunState.SHUTDOWN),
        ({"status": "guest-panicked"}, RunState.PANICKED),
        ({"status": "io-error"}, RunState.DISK_FAILED),
        ({"status": "internal-error"}, RunState.ERROR),
        ({"status": "suspended"}, RunState.SUSPENDED),
        ({"status": "watchdog"}, RunState.HUNG),
        ({"status": "debug"}, RunState.PAUSED),
        ({}, RunState.PAUSED),
        ([], RunState.PAUSED),
    ],
)
def test_run_states(answer: object, state: RunState) -> None:
    assert run_state(answer) is state


@pytest.mark.parametrize("answer", [None, [], {}, {"uuid": "x"}])
def test_a_strange_answer_is_nobodys_uuid(answer: object) -> None:
    assert machine_uuid(answer) != "x"


def test_every_order_of_the_core_has_its_commands() -> None:
    assert set(COMMANDS) == set(QmpCommand)


def test_a_reset_allows_reboots_until_they_are_forbidden_again() -> None:
    steps = (*COMMANDS[QmpCommand.RESET], *COMMANDS[QmpCommand.FORBID_REBOOT])
    assert [(step.name, dict(step.arguments)) for step in steps] == [
        ("set-action", {"reboot": "reset"}),
        ("system_reset", {}),
        ("set-action", {"reboot": "shutdown"}),
    ]
