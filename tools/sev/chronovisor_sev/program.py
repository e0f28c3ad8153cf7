"""SIMULATED: a program in QEMU's place, which has SEV where this machine has none.

    python -m chronovisor_sev.program --platform DIR --qemu PROGRAM -- QEMU'S ARGV

It inherits what QEMU inherits, with the locks on it, sits in prelaunch until somebody says `cont`,
and then lets the real QEMU run the guest. What has no SEV guest becomes the real QEMU at once.
"""

import argparse
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from chronovisor_transcript.channel import Channel
from chronovisor_transcript.machine import GREETING, Message, event, refusal, with_id
from chronovisor_transcript.simulated_qemu import NEGOTIATE, QMP_FD, Termination, timed

from chronovisor_sev.chip import load_chip
from chronovisor_sev.real_qemu import RealQemu
from chronovisor_sev.sev_machine import CannotStart, SevMachine, capabilities
from chronovisor_sev.sev_options import parse, value_of
from chronovisor_sev.tampering import read_tamper

NAME = "qemu-system-x86_64"
PROBE = "stdio"
"""What -qmp is where somebody only asks what the platform is."""


class SimulatedQemu:
    """One process: a client, a machine, and from ``cont`` on the real QEMU."""

    def __init__(self, machine: SevMachine, program: str, argv: Sequence[str]) -> None:
        self._machine = machine
        self._program, self._argv = program, argv
        self._client = Channel(QMP_FD)
        self._term = Termination()
        self._real: RealQemu | None = None
        self._greeted = self._negotiated = 0

    def run(self) -> int:
        """Serve until the end; return the exit status, or the negative number of a signal."""
        while self._machine.exit_status is None:
            readable = self._wait()
            if self._term.came():
                self._terminate()
            if self._client.readable.fileno() in readable:
                self._client.serve()
            self._attend()
            if self._real is not None and self._real.fileno() in readable:
                heard = self._real.hear(self._client.clients)
                if heard is None:
                    return self._real.wait()
                self._tell(heard)
        return self._machine.exit_status

    def _wait(self) -> list[int]:
        waited = [self._term.fileno(), self._client.readable.fileno()]
        if self._real is not None:
            waited.append(self._real.fileno())
        return select.select(waited, [], [])[0]

    def _terminate(self) -> None:
        if self._real is not None:
            self._real.terminate()
        else:
            self._tell(self._machine.terminate())

    def _attend(self) -> None:
        if self._client.clients > self._greeted:
            self._greeted = self._client.clients
            self._client.say(GREETING)
        while self._client.lines:
            self._tell(self._answer(self._client.lines.popleft()))
        if self._machine.runs_by_itself:
            self._resume({"execute": "cont"}, client=0)

    def _answer(self, request: Message) -> list[Message]:
        name = request.get("execute")
        if self._negotiated != self._greeted:
            if name != "qmp_capabilities":
                return [with_id(refusal(NEGOTIATE), request)]
            self._negotiated = self._greeted
            return [with_id({"return": {}}, request)]
        if self._machine.knows(request):
            return self._machine.obey_sev(request)
        if self._real is None and name == "cont":
            self._resume(request, self._client.clients)
            return []
        if self._real is None or name == "query-uuid":
            return self._machine.obey(request)
        self._real.ask(request, self._client.clients)
        return []

    def _resume(self, request: Message, client: int) -> None:
        self._machine.run()
        self._real = RealQemu(self._program, self._argv, self._machine.secret)
        self._real.ask(request, client)

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            if "event" not in message or self._negotiated == self._greeted:
                self._client.say(timed(message))


def probe(platform: Path) -> int:
    """Answer on standard streams what the platform is, as QEMU without a machine does."""
    _say(GREETING)
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("execute"):
            case "query-sev-capabilities":
                facts = capabilities(load_chip(platform), read_tamper(platform))
                _say(with_id({"return": facts}, request))
            case "quit":
                _say(with_id({"return": {}}, request))
                _say(timed(event("SHUTDOWN", guest=False, reason="host-qmp-quit")))
                return 0
            case _:
                _say(with_id({"return": {}}, request))
    return 0


def _say(message: Message) -> None:
    print(json.dumps(message), end="\r\n", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the program; return the exit status."""
    at = list(arguments).index("--")
    ours, argv = _parse(arguments[:at]), arguments[at + 1 :]
    if value_of(argv, "-qmp") == PROBE:
        return probe(ours.platform)
    options = parse(argv)
    if not (options.kind and options.is_asked_for):
        os.execv(ours.qemu, [ours.qemu, *argv])
    try:
        machine = SevMachine(options, load_chip(ours.platform), read_tamper(ours.platform))
    except CannotStart as why:
        print(
            f"{NAME}: {why}\n{NAME}: sev_kvm_init: failed to create encryption context\n"
            f"{NAME}: failed to initialize kvm: Operation not permitted",
            file=sys.stderr,
        )
        return 1
    status = SimulatedQemu(machine, ours.qemu, argv).run()
    return status if status >= 0 else _die_by(-status)


def _die_by(number: int) -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME)
    parser.add_argument("--platform", type=Path, required=True)
    parser.add_argument("--qemu", required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
