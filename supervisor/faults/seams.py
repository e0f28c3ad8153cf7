"""Where faults are let into the daemon; without a plan nothing stands there."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import trio

from eventlog.storage import DiskStorage, Storage
from supervisor.actor import Host
from supervisor.admission.events import FaultPlanLoaded
from supervisor.faults.host import FaultyHost
from supervisor.faults.loading import load
from supervisor.faults.plan import EffectFault, Fault, Plan, QmpFault, describe
from supervisor.faults.storage import AppendFaults, FaultyStorage
from supervisor.faults.streams import FaultyAgent, FaultyQmp
from supervisor.faults.trigger import F, Trigger
from supervisor.host.interposing import Channel, Interpose, direct

logger = logging.getLogger(__name__)

MET = "FAULT PLAN: met"
"""Begins the line that counts appends and effects; ``tools/crash/boundaries`` reads it."""


class Seams(msgspec.Struct, frozen=True):
    """What a life of the daemon gets in place of its disk, its hosts and its streams.

    ``loaded`` is what the log is to say of it; ``conclude`` is called when the daemon leaves.
    """

    storage: Callable[[Path], Storage] = DiskStorage
    host: Callable[[str, Host], Host] = lambda vm_id, host: host
    interpose: Interpose = direct
    loaded: tuple[FaultPlanLoaded, ...] = ()
    conclude: Callable[[], None] = lambda: None


def open_seams(file: Path | None) -> Seams:
    """Return the seams of a life with this plan, or with none. Raises PlanInvalid."""
    if file is None:
        return Seams()
    loaded = load(file)
    told = tuple(describe(fault) for fault in loaded.plan.faults())
    logger.warning("FAULT PLAN %s: this daemon is made to fail. Never use it for real work.", file)
    for each in told:
        logger.warning("FAULT PLAN: %s", each)
    faults = Faults(loaded.plan)
    event = FaultPlanLoaded(loaded.digest, told)
    return Seams(faults.storage, faults.host, faults.interpose, (event,), faults.conclude)


class Faults:
    """The faults of a plan in one life of the daemon, and how far each of them is."""

    def __init__(self, plan: Plan) -> None:
        qmp: tuple[QmpFault, ...] = (
            *plan.delay_qmp,
            *plan.drop_qmp,
            *plan.corrupt_qmp,
            *plan.refuse_qmp,
        )
        effects: tuple[EffectFault, ...] = (
            *plan.kill_daemon_at_effect,
            *plan.kill_qemu_at_effect,
            *plan.crash_actor_at_effect,
        )
        self._qmp = [Trigger(fault) for fault in qmp]
        self._effects = [Trigger(fault) for fault in effects]
        self._stalls = [Trigger(fault) for fault in plan.stall_agent]
        self._failures = [Trigger(fault) for fault in plan.fail_append]
        self._kills = [Trigger(fault) for fault in plan.kill_daemon_at_append]
        self._appends = AppendFaults(self._failures, self._kills)
        self._performed: Counter[str] = Counter()

    def storage(self, directory: Path) -> Storage:
        """Return the directory of the event log."""
        return FaultyStorage(DiskStorage(directory), self._appends)

    def host(self, vm_id: str, host: Host) -> Host:
        """Return the host of one VM."""
        return FaultyHost(host, _concerning(self._effects, vm_id), self._performed)

    def interpose(
        self, channel: Channel, directory: Path, stream: trio.abc.Stream
    ) -> trio.abc.Stream:
        """Return the stream to a launch in this directory."""
        vm_id = directory.parent.name
        match channel:
            case Channel.QMP:
                return FaultyQmp(stream, _concerning(self._qmp, vm_id))
            case Channel.AGENT:
                return FaultyAgent(stream, _concerning(self._stalls, vm_id))

    def conclude(self) -> None:
        """Tell what was met: that is how the boundaries of a run are counted."""
        effects = " ".join(f"{name}={count}" for name, count in sorted(self._performed.items()))
        logger.warning("%s appends=%d %s", MET, self._appends.appends, effects)
        for fault in self._outstanding():
            logger.warning("FAULT PLAN: never happened: %s", describe(fault))

    def _outstanding(self) -> Iterator[Fault]:
        yield from (each.fault for each in self._qmp if not each.happened)
        yield from (each.fault for each in self._effects if not each.happened)
        yield from (each.fault for each in self._stalls if not each.happened)
        yield from (each.fault for each in self._failures if not each.happened)
        yield from (each.fault for each in self._kills if not each.happened)


def _concerning(faults: Sequence[Trigger[F]], vm_id: str) -> list[Trigger[F]]:
    return [trigger for trigger in faults if getattr(trigger.fault, "vm", "") in ("", vm_id)]
