"""The first attempts of a life to find its VMs again: many at once, and none delayed by another.

Each VM of the log that may have a process waits for its turn to be looked for. A turn ends with the
first thing that is found out, or is passed on when QEMU is slow to answer; the attempt goes on all
the same, with its own deadlines. Nothing waits for the recovery: APIs serve meanwhile.
"""

from collections import Counter, deque
from collections.abc import Iterable
from math import inf

import trio

from supervisor.actor import Host, Report
from supervisor.admission.events import VmsRecovered
from supervisor.vm.effects import Effect, Reattach
from supervisor.vm.observations import (
    HostRebooted,
    NeverSpawned,
    Observation,
    ProcessExited,
    ProcessSilent,
    Reattached,
)

FINDINGS = Reattached | ProcessSilent | ProcessExited | NeverSpawned | HostRebooted
"""What ends a search. The guest's agent may be heard before QEMU is proven to be the one."""

PARALLEL = 64
"""Attempts at once. Each takes some milliseconds of our own CPU: were thousands begun together, the
deadlines of the last would measure our queue and not their QEMU."""
TURN_S = 1.0
"""A QEMU that is well answers within 50 ms; one that does not must not keep others waiting."""


class Recovery:
    """Gives turns to the VMs that are looked for, and counts what is found."""

    def __init__(self, vm_ids: Iterable[str], parallel: int = PARALLEL) -> None:
        self._missing = set(vm_ids)
        self._parallel = parallel
        self._waiting: deque[tuple[str, trio.Event]] = deque()
        self._turns: dict[str, float] = {}
        self._found: Counter[type[Observation]] = Counter()
        self._news = trio.Event()

    @property
    def missing(self) -> int:
        """How many VMs nothing is known of yet."""
        return len(self._missing)

    def guard(self, vm_id: str, host: Host) -> Host:
        """Return a host that waits for the VM's turn before it looks for its process."""
        return _Guarded(vm_id, host, self) if vm_id in self._missing else host

    async def run(self) -> VmsRecovered:
        """Give turns until every VM was heard of; return what was found."""
        began = trio.current_time()
        while self._missing:
            self._give_turns()
            with trio.move_on_at(self._next_end()):
                await self._news.wait()
            self._news = trio.Event()
        adopted, silent = self._found[Reattached], self._found[ProcessSilent]
        gone = self._found.total() - adopted - silent
        return VmsRecovered(adopted, silent, gone, round((trio.current_time() - began) * 1000))

    async def turn(self, vm_id: str) -> None:
        """Wait for the VM's turn; one that was heard of already needs none."""
        if vm_id not in self._missing:
            return
        granted = trio.Event()
        self._waiting.append((vm_id, granted))
        self._news.set()
        await granted.wait()

    def heard(self, vm_id: str, seen: Observation) -> None:
        """Note the first thing that was found out of a VM."""
        if vm_id in self._missing and isinstance(seen, FINDINGS):
            self._missing.remove(vm_id)
            self._turns.pop(vm_id, None)
            self._found[type(seen)] += 1
            self._news.set()

    def _give_turns(self) -> None:
        now = trio.current_time()
        self._turns = {vm_id: end for vm_id, end in self._turns.items() if end > now}
        while self._waiting and len(self._turns) < self._parallel:
            vm_id, granted = self._waiting.popleft()
            self._turns[vm_id] = now + TURN_S
            granted.set()

    def _next_end(self) -> float:
        return min(self._turns.values(), default=inf) if self._waiting else inf


class _Guarded:
    """The host of one VM, until it was found."""

    def __init__(self, vm_id: str, host: Host, recovery: Recovery) -> None:
        self._vm_id = vm_id
        self._host = host
        self._recovery = recovery

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do ``effect``; see :class:`supervisor.actor.Host`."""
        if not isinstance(effect, Reattach):
            await self._host.perform(effect, report)
            return

        async def hear(seen: Observation) -> None:
            await report(seen)
            self._recovery.heard(self._vm_id, seen)

        await self._recovery.turn(self._vm_id)
        await self._host.perform(effect, hear)
