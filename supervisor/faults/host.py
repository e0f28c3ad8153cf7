"""Deaths before and after an effect, of the daemon or of the VM's QEMU; bugs in its place."""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from supervisor.actor import Host, Report
from supervisor.faults.plan import (
    CrashActorAtEffect,
    EffectFault,
    EffectMoment,
    KillDaemonAtEffect,
    KillQemuAtEffect,
)
from supervisor.faults.trigger import Trigger, kill_the_daemon
from supervisor.host.process import start_ticks
from supervisor.vm.effects import Effect
from supervisor.vm.observations import Observation, ProcessIdentity, QemuSpawned, Reattached

Death = KillDaemonAtEffect | KillQemuAtEffect


class InjectedBug(Exception):
    """What no part of the daemon expects."""


class FaultyHost:
    """The host of one VM, with faults round each effect.

    ``performed`` counts effects by their names, over all VMs.
    """

    def __init__(
        self, inner: Host, faults: Sequence[Trigger[EffectFault]], performed: Counter[str]
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._performed = performed
        self._qemu: ProcessIdentity | None = None

    async def perform(self, effect: Effect, report: Report) -> None:
        """Do ``effect`` as the host does."""
        name = type(effect).__name__
        self._performed[name] += 1
        after = self._due(name)

        async def hear(observation: Observation) -> None:
            if isinstance(observation, QemuSpawned | Reattached):
                self._qemu = observation.process
            self._strike(after)
            await report(observation)

        await self._inner.perform(effect, hear)
        self._strike(after)

    def _due(self, name: str) -> list[Death]:
        """Let happen what comes before the effect; return what comes after it."""
        of_name = [trigger for trigger in self._faults if trigger.fault.effect == name]
        due = [trigger.fault for trigger in of_name if trigger.meet()]
        if any(isinstance(fault, CrashActorAtEffect) for fault in due):
            raise InjectedBug(f"the fault plan puts a bug in place of {name}")
        deaths = [fault for fault in due if not isinstance(fault, CrashActorAtEffect)]
        self._strike([fault for fault in deaths if fault.at is EffectMoment.BEFORE])
        return [fault for fault in deaths if fault.at is EffectMoment.AFTER]

    def _strike(self, faults: list[Death]) -> None:
        while faults:
            if isinstance(faults.pop(), KillDaemonAtEffect):
                kill_the_daemon()
            elif self._qemu is not None:
                _kill(self._qemu)


def _kill(process: ProcessIdentity) -> None:
    """Kill a process, and no other that came to have its PID."""
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(process.pid)
        try:
            if start_ticks(process.pid) == process.start_ticks:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
