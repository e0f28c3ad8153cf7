"""What `top` sees at one moment: the VMs, what their QEMUs use, and the last events.

A daemon that goes away is no end: the last that it said stays, until it is back.
"""

import datetime
import time
from collections import deque
from collections.abc import Collection, Mapping

import msgspec
from chronovisor_api import v1
from chronovisor_api.client import OVER

from supervisor.cli.connection import Daemon
from supervisor.cli.exits import ExitCode, Failure, Unreachable
from supervisor.cli.messages import Json, event_json
from supervisor.host.proc import Used, used

EVENTS_KEPT = 50
"""More than a tall terminal shows. What happened before is for `events`."""
UNDER_WAY = tuple(phase for phase in v1.Phase if phase not in OVER | {v1.Phase.UNSPECIFIED})


class Usage(msgspec.Struct, frozen=True):
    """What a QEMU uses: of one CPU, and of memory."""

    cpu: float
    memory_bytes: int


class Picture(msgspec.Struct, frozen=True):
    """One moment. ``away`` says why the daemon does not answer, and is empty when it does."""

    at: datetime.datetime
    vms: tuple[v1.Vm, ...] = ()
    usage: Mapping[str, Usage] = {}
    events: tuple[Json, ...] = ()
    away: str = ""


class Meter:
    """Measures processes of this host from one look to the next; at first, from their start."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, Used]] = {}

    def measure(self, pids: Mapping[str, int]) -> dict[str, Usage]:
        """Return what processes use, by the names that they are given here."""
        now = time.monotonic()
        seen = {name: (pid, found) for name, pid in pids.items() if (found := used(pid))}
        usage = {name: self._usage(pid, now, found) for name, (pid, found) in seen.items()}
        self._before = {pid: (now, found) for pid, found in seen.values()}
        return usage

    def _usage(self, pid: int, now: float, found: Used) -> Usage:
        then, before = self._before.get(pid, (now - found.age_s, Used(0.0, 0.0, 0)))
        took_s = now - then
        cpu = (found.cpu_s - before.cpu_s) / took_s if took_s > 0 else 0.0
        return Usage(max(cpu, 0.0), found.memory_bytes)


class Observer:
    """Looks at a daemon again and again. ``is_here``: its QEMUs are processes of this host."""

    def __init__(self, daemon: Daemon, *, is_here: bool, phases: Collection[v1.Phase]) -> None:
        self._daemon = daemon
        self._is_here = is_here
        self._phases = phases
        self._meter = Meter()
        self._events: deque[Json] = deque(maxlen=EVENTS_KEPT)
        self._seen: int | None = None

    def look(self) -> Picture:
        """Return what is now. Raises Failure where the daemon does not answer, or refuses."""
        client = self._daemon.client
        vms = tuple(self._daemon.stream(client.list(phases=self._phases)))
        self._read_on()
        pids = {vm.vm_id: vm.pid for vm in vms if vm.pid} if self._is_here else {}
        usage = self._meter.measure(pids)
        return Picture(_now(), vms, usage, tuple(self._events))

    def look_again(self, last: Picture) -> Picture:
        """The same after ``last``, which stays while no daemon answers."""
        try:
            return self.look()
        except Unreachable as why:
            return msgspec.structs.replace(last, at=_now(), away=why.message)

    def _read_on(self) -> None:
        """Read the events since the last look; at first, some that were there before."""
        client = self._daemon.client
        if self._seen is None:
            self._seen = max(0, self._head() - EVENTS_KEPT)
        for event in self._daemon.stream(client.history(after=self._seen)):
            self._events.append(event_json(event))
            self._seen = event.position

    def _head(self) -> int:
        """Return where the log ends; 0 for those who may not know, and see little of it anyway."""
        try:
            return self._daemon.call(self._daemon.client.log()).head
        except Failure as refused:
            if refused.exit_code != ExitCode.DENIED:
                raise
            return 0


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
