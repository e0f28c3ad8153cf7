"""A program in QEMU's place: ``python -m chronovisor_transcript.simulated_qemu -- QEMU'S ARGV``.

It inherits what QEMU inherits (:class:`supervisor.vm.layout.InheritedFd`) with the locks on it,
greets on QMP and ends as QEMU ends. With ``--script FILE`` it says what a transcript says.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from chronovisor_transcript.channel import Channel
from chronovisor_transcript.machine import GREETING, Machine, Message, refusal, with_id
from chronovisor_transcript.options import MEMORY_MAX, Options, parse
from chronovisor_transcript.script import Player, read_script

QMP_FD, AGENT_FD = 3, 5
NEGOTIATE = "Expecting capabilities negotiation with 'qmp_capabilities'"
SCRIPT = "--script"
TURN_S = 0.05
"""How often a script looks whether its next moment has come."""


class Termination:
    """Tells whether SIGTERM came, and wakes whoever waits."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda number, frame: None)

    def fileno(self) -> int:
        """Return what becomes readable when it came."""
        return self._reading

    def came(self) -> bool:
        """Return whether it came since this was asked last."""
        try:
            return bool(os.read(self._reading, 64))
        except BlockingIOError:
            return False


class Monitor:
    """The QMP side of one process: greeting, negotiation, then the machine's commands."""

    def __init__(self, channel: Channel, machine: Machine) -> None:
        self._channel = channel
        self._machine = machine
        self._greeted = 0
        self._negotiated = 0

    def attend(self) -> None:
        """Greet a new client; answer what was asked."""
        if self._channel.clients > self._greeted:
            self._greeted = self._channel.clients
            self._channel.say(GREETING)
        while self._channel.lines:
            self._tell(self._answer(self._channel.lines.popleft()))

    def terminate(self) -> None:
        """Say what QEMU says when it gets SIGTERM."""
        self._tell(self._machine.terminate())

    def _answer(self, request: Message) -> list[Message]:
        if self._negotiated == self._greeted:
            return self._machine.obey(request)
        if request.get("execute") == "qmp_capabilities":
            self._negotiated = self._greeted
            return [with_id({"return": {}}, request)]
        return [with_id(refusal(NEGOTIATE), request)]

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            # Before capabilities are negotiated there are no events.
            if "event" not in message or self._negotiated == self._greeted:
                self._channel.say(timed(message))


def timed(message: Message) -> Message:
    """Return a message as it is said now: events have a time."""
    if "event" not in message:
        return message
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return {"timestamp": {"seconds": seconds, "microseconds": microseconds}, **message}


def run_machine(options: Options, term: Termination) -> int:
    """Be a machine without a guest until somebody ends it; return the exit status."""
    qmp, agent = Channel(QMP_FD), Channel(AGENT_FD)
    machine = Machine(options.uuid)
    monitor = Monitor(qmp, machine)
    while machine.exit_status is None:
        wait(term, qmp, agent, None)
        if term.came():
            monitor.terminate()
        agent.lines.clear()  # there is no guest that would hear it
        monitor.attend()
    return machine.exit_status


def run_script(options: Options, term: Termination, script: Path) -> int:
    """Say what a transcript says; return the exit status, or end by the signal that it names."""
    player = Player(read_script(script), options, Channel(QMP_FD), Channel(AGENT_FD))
    while player.is_playing:
        wait(term, player.qmp, player.agent, TURN_S)
        if term.came():
            player.terminate()
        player.play()
    return player.end()


def wait(term: Termination, qmp: Channel, agent: Channel, timeout_s: float | None) -> None:
    """Wait for something to happen, and take what is said on either channel."""
    waited = [term.fileno(), qmp.readable.fileno(), agent.readable.fileno()]
    readable, _, _ = select.select(waited, [], [], timeout_s)
    for channel in (qmp, agent):
        if channel.readable.fileno() in readable:
            channel.serve()


def main(arguments: Sequence[str]) -> int:
    """Run the program; return the exit status."""
    at = list(arguments).index("--")
    ours, options = arguments[:at], parse(arguments[at + 1 :])
    if options.memory_bytes > MEMORY_MAX:
        print("cannot set up guest memory 'pc.ram': Cannot allocate memory", file=sys.stderr)
        return 1
    term = Termination()
    if ours[:1] == [SCRIPT]:
        return run_script(options, term, Path(ours[1]))
    return run_machine(options, term)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
