"""A transcript as a script: QEMU's part is spoken again, at the cues that the daemon gave then.

What is spoken goes out in the recorded order. Before each of its lines the daemon's own lines that
came before it then must have come now. Pauses are kept up to a bound, as the daemon itself paces
what it hears. Questions about the run state are no cues: the daemon asks them when it likes.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chronovisor_transcript.channel import Channel
from chronovisor_transcript.machine import Message, refusal, with_id
from chronovisor_transcript.moments import parse_moment
from chronovisor_transcript.options import Options

PAUSE_MAX_S = 1.5
"""Longer pauses decide nothing: the daemon takes progress once a second, the slowest it does."""
CUE_S = 60.0
"""How long the daemon may keep us waiting; a step of the stop ladder takes 30 s."""
PULSE = "query-status"
STATES = {
    "RESUME": {"status": "running", "singlestep": False, "running": True},
    "STOP": {"status": "paused", "singlestep": False, "running": False},
    "SHUTDOWN": {"status": "shutdown", "singlestep": False, "running": False},
}
"""What ``query-status`` answers after an event, until the transcript has a recorded answer."""
PATIENCE_S = 120.0
"""For a SIGKILL that is to come."""
OUT_OF_STEP = 70
"""Exit status of a script whose cue did not come (EX_SOFTWARE of sysexits.h)."""
RESULT_HEADER = "CHRONOVISOR-RESULT\n0001\n{launch:020}\n{length:020}\n{exit_code:03}\n{error:32}\n"
SECTOR = 512


class Line(NamedTuple):
    """Something that was said, opened or closed, and how long after what came before."""

    channel: str
    direction: str
    message: Message
    pause_s: float


class Ending(NamedTuple):
    """How QEMU ended then, and what it left on its results disk."""

    exit_code: int | None
    signal: int | None
    result: Message | None


class Script(NamedTuple):
    """All that one launch said and heard."""

    lines: tuple[Line, ...]
    ending: Ending


def read_script(file: Path) -> Script:
    """Read an exported transcript."""
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    events = {entry["event"]: entry["data"] for entry in entries if "event" in entry}
    evidence = events.get("vm.process-exited.v1", {}).get("evidence", {})
    return Script(
        tuple(_lines([entry for entry in entries if "channel" in entry])),
        Ending(
            evidence.get("exit_code"),
            evidence.get("signal"),
            events.get("vm.result-recorded.v1"),
        ),
    )


def _lines(entries: list[dict[str, Any]]) -> Iterator[Line]:
    before = entries[0]["at"] if entries else ""
    for entry in entries:
        pause_s = parse_moment(entry["at"]) - parse_moment(before)
        message = entry.get("message") or {}
        yield Line(entry["channel"], entry["direction"], message, min(pause_s, PAUSE_MAX_S))
        before = entry["at"]


class Player:
    """Plays a script to the daemon; :meth:`play` goes on as far as it can, and never waits."""

    def __init__(self, script: Script, options: Options, qmp: Channel, agent: Channel) -> None:
        self.qmp = qmp
        self.agent = agent
        self._script = script
        self._options = options
        self._channels = {"qmp": qmp, "agent": agent}
        self._opened = dict.fromkeys(self._channels, 0)
        self._next = 0
        self._since = time.monotonic()
        self._requests: dict[object, Message] = {}
        self._status: Message = {"status": "prelaunch", "singlestep": False, "running": False}
        self._terminated = 0
        _leave_result(script.ending.result, options)

    @property
    def is_playing(self) -> bool:
        """Whether there is more to say or to hear."""
        return self._next < len(self._script.lines)

    def terminate(self) -> None:
        """Note a SIGTERM: it is the cue of what a terminated QEMU says."""
        self._terminated += 1

    def play(self) -> None:
        """Say and hear what is due by now."""
        self._answer_pulses()
        while self.is_playing and self._is_done(self._script.lines[self._next]):
            self._next += 1
            self._since = time.monotonic()
            self._answer_pulses()
        if self.is_playing and time.monotonic() > self._since + CUE_S:
            line = self._script.lines[self._next]
            print(f"the daemon did not do its part: {line}", file=sys.stderr, flush=True)
            sys.exit(OUT_OF_STEP)

    def end(self) -> int:
        """Return the recorded exit status, or end by the recorded signal."""
        number = self._script.ending.signal
        if number is None:
            return self._script.ending.exit_code or 0
        if number == signal.SIGKILL:
            time.sleep(PATIENCE_S)  # ends when the daemon does what it did then
        os.kill(os.getpid(), number)
        return OUT_OF_STEP

    def _is_done(self, line: Line) -> bool:
        channel = self._channels[line.channel]
        match line.direction:
            case "opened":
                return self._is_opened(line.channel, channel)
            case "sent":
                return line.message.get("execute") == PULSE or self._is_heard(line, channel)
            case "received":
                return self._is_said(line, channel)
        return True

    def _is_opened(self, name: str, channel: Channel) -> bool:
        if channel.clients == self._opened[name]:
            return False
        self._opened[name] += 1
        return True

    def _is_heard(self, line: Line, channel: Channel) -> bool:
        if not channel.lines:
            return False
        heard = channel.lines.popleft()
        if "id" in line.message:
            self._requests[line.message["id"]] = heard
        if _order(heard) != _order(line.message):
            print(f"expected {_order(line.message)}, heard {_order(heard)}", file=sys.stderr)
            channel.say(with_id(refusal("not in the transcript", "GenericError"), heard))
            return False
        return True

    def _is_said(self, line: Line, channel: Channel) -> bool:
        message = dict(line.message)
        if time.monotonic() < self._since + line.pause_s or not self._is_cued(message):
            return False
        if "status" in _returned(message):
            self._status = message["return"]
        elif line.channel == "agent":
            channel.say({**message, "launch": self._options.launch})
        elif "id" not in message:
            self._status = STATES.get(str(message.get("event")), self._status)
            channel.say(message)
        elif (request := self._requests.get(message["id"])) is not None:
            if "UUID" in _returned(message):
                message["return"] = {"UUID": self._options.uuid}
            channel.say(with_id(message, request))
        return True

    def _is_cued(self, message: Message) -> bool:
        by_signal = message.get("data", {}).get("reason") == "host-signal"
        return not by_signal or self._terminated > 0

    def _answer_pulses(self) -> None:
        others = [line for line in self.qmp.lines if line.get("execute") != PULSE]
        for line in self.qmp.lines:
            if line.get("execute") == PULSE:
                self.qmp.say(with_id({"return": self._status}, line))
        self.qmp.lines.clear()
        self.qmp.lines.extend(others)


def _order(message: Message) -> object:
    """What the daemon orders, whichever number the command has."""
    if "execute" in message:
        return message["execute"], message.get("arguments", {})
    return message.get("type"), message.get("seq")


def _returned(message: Message) -> Message:
    value = message.get("return")
    return value if isinstance(value, dict) else {}


def _leave_result(result: Message | None, options: Options) -> None:
    """Write the header of the results disk; its bytes are zeros, as many as there were then."""
    if result is None:
        return
    header = RESULT_HEADER.format(
        launch=options.launch, length=result["size"], exit_code=result["exit_code"], error=""
    )
    os.pwrite(options.results_fd, header.encode().ljust(SECTOR, b"\0"), 0)
