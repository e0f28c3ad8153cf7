"""What a soak came to: what was promised against what is there, and what was left behind."""

from collections import Counter
from pathlib import Path

import msgspec

from chronovisor_soak.clients import Promise
from eventlog import EventLogError, read_log, verify_log
from supervisor.journal import vm_stream
from supervisor.schema import TAGS
from supervisor.vm import events as ev

SPAWNED = TAGS[ev.QemuSpawned]


class Leaks(msgspec.Struct, frozen=True):
    """What is still there when every VM was deleted and the daemon left."""

    qemus: list[int] = []
    zombies: list[int] = []
    files: list[str] = []
    descriptors: int = 0
    """More than the daemon had after its first start, when all VMs were gone again."""
    resident_growth: int = 0
    """In bytes, of the same daemon; its caches and its log's index may grow a little."""


class Account(msgspec.Struct, frozen=True):
    """Everything that was tried, and what came of it."""

    seconds: float
    seed: int
    lives: int
    answers: dict[str, int]
    troubles: dict[str, int]
    events: int
    vms: int
    launches: int
    promises: int
    lost: list[str]
    doubles: list[str]
    stuck: list[str]
    outcomes: dict[str, int]
    log: str
    leaks: Leaks

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled, stuck, damaged or leaked."""
        leaked = (self.leaks.qemus, self.leaks.zombies, self.leaks.files)
        bad = (self.lost, self.doubles, self.stuck, *leaked)
        return not any(bad) and self.log == "intact" and self.leaks.descriptors <= 0


class Reading(msgspec.Struct, frozen=True):
    """What the log says in the end."""

    events: int
    versions: dict[str, int]
    spawned: Counter[tuple[str, int]]
    outcomes: Counter[str]


def read(log: Path) -> Reading:
    """Read the whole log."""
    versions: dict[str, int] = {}
    spawned: Counter[tuple[str, int]] = Counter()
    outcomes: Counter[str] = Counter()
    events = 0
    for record in read_log(log):
        events = record.position
        versions[record.stream] = record.version
        if record.type == SPAWNED:
            spawned[record.stream, msgspec.msgpack.decode(record.payload)["launch"]] += 1
        elif record.type in (TAGS[ev.VmStopped], TAGS[ev.VmFailed]):
            outcomes[msgspec.msgpack.decode(record.payload)["outcome"]] += 1
    return Reading(events, versions, spawned, outcomes)


def lost(promises: list[Promise], versions: dict[str, int]) -> list[str]:
    """Return the promises that the log knows nothing of."""
    return [
        f"{each.order} of {each.vm_id}: version {each.version} was told, the log has {has}"
        for each in promises
        if (has := versions.get(vm_stream(each.vm_id), 0)) < each.version
    ]


def spawned_twice(reading: Reading) -> list[str]:
    """Return the launches for which the log has more than one process."""
    return [
        f"launch {launch} of {stream}: {count} processes"
        for (stream, launch), count in reading.spawned.items()
        if count > 1
    ]


def state_of(log: Path) -> str:
    """Return "intact", or what is wrong."""
    try:
        for _ in verify_log(log):
            pass
    except EventLogError as error:
        return str(error)
    return "intact"
