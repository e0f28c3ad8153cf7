"""How QEMU answers when nobody scripts it: a machine without a guest, in QEMU 7.2's own words."""

from collections.abc import Callable
from enum import Enum
from typing import Any

Message = dict[str, Any]

GREETING: Message = {
    "QMP": {
        "version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "simulated"},
        "capabilities": ["oob"],
    }
}


class RunState(Enum):
    """What ``query-status`` answers (qapi/run-state.json)."""

    PRELAUNCH = "prelaunch"
    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"


class Machine:
    """One QEMU as its monitor shows it; ``exit_status`` is set once it is to end.

    ``commands`` is all that it obeys: a machine with more devices adds to it.
    """

    def __init__(self, uuid: str) -> None:
        self.exit_status: int | None = None
        self._uuid = uuid
        self._state = RunState.PRELAUNCH
        self.commands: dict[str, Callable[[], list[Message]]] = {
            "query-uuid": lambda: [{"return": {"UUID": self._uuid}}],
            "query-status": lambda: [{"return": self.status()}],
            "set-action": lambda: [{"return": {}}],
            "system_powerdown": lambda: [event("POWERDOWN"), {"return": {}}],
            "system_reset": self._reset,
            "cont": lambda: self._move(RunState.RUNNING, "RESUME"),
            "stop": self._stop,
            "quit": lambda: [*self._shut_down("host-qmp-quit"), {"return": {}}],
        }

    def status(self) -> Message:
        """Return the answer to ``query-status``."""
        running = self._state is RunState.RUNNING
        return {"status": self._state.value, "singlestep": False, "running": running}

    def obey(self, request: Message) -> list[Message]:
        """Return what QEMU says to a command, events before the answer that they precede."""
        name = str(request.get("execute"))
        command = self.commands.get(name)
        if command is None:
            return [with_id(refusal(f"The command {name} has not been found"), request)]
        return [with_id(message, request) for message in command()]

    def terminate(self) -> list[Message]:
        """Return what QEMU says when it gets SIGTERM."""
        return self._shut_down("host-signal")

    def _move(self, state: RunState, told: str) -> list[Message]:
        changed, self._state = self._state is not state, state
        return [*([event(told)] if changed else []), {"return": {}}]

    def _stop(self) -> list[Message]:
        if self._state is RunState.RUNNING:
            return self._move(RunState.PAUSED, "STOP")
        return [{"return": {}}]

    def _reset(self) -> list[Message]:
        return [{"return": {}}, event("RESET", guest=False, reason="host-qmp-system-reset")]

    def _shut_down(self, reason: str) -> list[Message]:
        self.exit_status = 0
        return [event("SHUTDOWN", guest=False, reason=reason)]


def event(name: str, **data: object) -> Message:
    """Return an event of the machine."""
    return {"event": name, **({"data": data} if data else {})}


def refusal(description: str, kind: str = "CommandNotFound") -> Message:
    """Return the answer to a command that QEMU does not carry out."""
    return {"error": {"class": kind, "desc": description}}


def with_id(message: Message, request: Message) -> Message:
    """Return an answer that names its command; an event names none."""
    if "event" in message or "id" not in request:
        return message
    return {**message, "id": request["id"]}
