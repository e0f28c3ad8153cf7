"""QMP's words and the core's words: the only place that knows both.

Events that have no word in the core are dropped here. Names and reasons are those of QEMU's
``qapi/run-state.json``, ``qapi/misc.json`` and ``qapi/block-core.json``.
"""

from collections.abc import Callable, Mapping

import msgspec

from supervisor.host.text import printable
from supervisor.qmp.connection import GuestEvent
from supervisor.vm import observations as ob
from supervisor.vm.effects import QmpCommand
from supervisor.vm.observations import Observation, RunState, ShutdownCause

Data = Mapping[str, object]

NAME_CHARACTERS = 32
"""QEMU's node names have at most 31 (block.h, sizeof of node_name)."""
DETAIL_CHARACTERS = 256
"""An operation and the words of strerror(3)."""


class Step(msgspec.Struct, frozen=True):
    """One QMP command with its arguments."""

    name: str
    arguments: Mapping[str, object] = {}


COMMANDS: dict[QmpCommand, tuple[Step, ...]] = {
    QmpCommand.CONT: (Step("cont"),),
    QmpCommand.STOP: (Step("stop"),),
    QmpCommand.POWERDOWN: (Step("system_powerdown"),),
    # The firmware may reset once more on its own before it boots (SeaBIOS does, to get its ROM
    # back), so the action is put back only when the guest is up again.
    QmpCommand.RESET: (Step("set-action", {"reboot": "reset"}), Step("system_reset")),
    # What -no-reboot means: a guest's own reboot becomes SHUTDOWN with the reason guest-reset.
    QmpCommand.FORBID_REBOOT: (Step("set-action", {"reboot": "shutdown"}),),
    QmpCommand.QUIT: (Step("quit"),),
}

SHUTDOWN_CAUSES = {
    "guest-shutdown": ShutdownCause.GUEST_SHUTDOWN,
    "guest-reset": ShutdownCause.GUEST_RESET,
    "guest-panic": ShutdownCause.GUEST_PANIC,
    "host-qmp-quit": ShutdownCause.HOST_QUIT,
    "host-signal": ShutdownCause.HOST_SIGNAL,
}

RUN_STATES = {
    "prelaunch": RunState.PRELAUNCH,
    "running": RunState.RUNNING,
    "suspended": RunState.SUSPENDED,
    "shutdown": RunState.SHUTDOWN,
    "guest-panicked": RunState.PANICKED,
    "watchdog": RunState.HUNG,
    "io-error": RunState.DISK_FAILED,
    "internal-error": RunState.ERROR,
}


def _shut_down(launch: int, data: Data) -> Observation:
    cause = SHUTDOWN_CAUSES.get(str(data.get("reason")), ShutdownCause.UNKNOWN)
    return ob.GuestShutDown(launch, cause)


def _disk_failed(launch: int, data: Data) -> Observation:
    disk = printable(str(data.get("node-name")))[:NAME_CHARACTERS]
    detail = printable(f"{data.get('operation')}: {data.get('reason')}")[:DETAIL_CHARACTERS]
    return ob.GuestDiskFailed(launch, disk, detail)


def _memory_failed(launch: int, data: Data) -> Observation:
    detail = f"{data.get('recipient')}: {data.get('action')}"
    return ob.MemoryFailed(launch, printable(detail)[:DETAIL_CHARACTERS])


TRANSLATIONS: dict[str, Callable[[int, Data], Observation]] = {
    "STOP": lambda launch, data: ob.GuestStopped(launch),
    "RESUME": lambda launch, data: ob.GuestResumed(launch),
    "RESET": lambda launch, data: ob.GuestWasReset(launch, data.get("guest") is True),
    "SHUTDOWN": _shut_down,
    "GUEST_PANICKED": lambda launch, data: ob.GuestPanicked(launch),
    "GUEST_CRASHLOADED": lambda launch, data: ob.GuestCrashLoaded(launch),
    "WATCHDOG": lambda launch, data: ob.GuestHung(launch),
    "SUSPEND": lambda launch, data: ob.GuestSuspended(launch),
    "WAKEUP": lambda launch, data: ob.GuestWoke(launch),
    "BLOCK_IO_ERROR": _disk_failed,
    "MEMORY_FAILURE": _memory_failed,
}


def translate(launch: int, event: GuestEvent) -> Observation | None:
    """Return what a QMP event means to the core, or None when it means nothing."""
    translation = TRANSLATIONS.get(event.name)
    return translation(launch, event.data) if translation else None


def run_state(answer: object) -> RunState:
    """Return the meaning of ``query-status``; other states that freeze the CPUs are pauses."""
    status = answer.get("status") if isinstance(answer, dict) else None
    return RUN_STATES.get(str(status), RunState.PAUSED)


def machine_uuid(answer: object) -> str:
    """Return the UUID in the answer to ``query-uuid``."""
    return str(answer.get("UUID")) if isinstance(answer, dict) else ""
