"""Killing a daemon that has paused VMs, and timing how the next one finds them: ours and libvirt's.

Both have their VMs at the same time, on the same host, and are killed in turns; who goes first
changes from round to round.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from chronovisor_bench.idle_guest import FIRMWARE, MEMORY_BYTES, write_manifest
from chronovisor_bench.libvirt_domain import domain_files
from chronovisor_bench.libvirtd import Libvirtd, why_not
from chronovisor_bench.paused_fleet import PausedFleet
from chronovisor_bench.process_memory import Memory

SETTLE_S = 1.0
"""After its first answers a daemon lets go of what only its start needed."""

Progress = Callable[[str, float], None]


class Restart(msgspec.Struct, frozen=True):
    """One restart: seconds from exec until it served and every VM was adopted.

    ``known_s`` is when it told the state of every VM. libvirt takes it from its files, before it
    has reached the QEMUs; ours tells it once it is true.
    """

    seconds: float
    known_s: float
    memory: Memory


class Restarts(msgspec.Struct, frozen=True):
    """All restarts with so many VMs, in the order of the rounds; libvirt's may be none."""

    vms: int
    chronovisor: tuple[Restart, ...]
    libvirt: tuple[Restart, ...]


class Contest:
    """Both daemons and their VMs; where there is no libvirt, only ours.

    Methods raise LaunchFailed, Failure or LibvirtFailed. What ``owned`` ends leaves nothing.
    """

    def __init__(self, directory: Path, catalogue: Path, owned: ExitStack) -> None:
        manifest = write_manifest(directory)
        self._ours = PausedFleet(directory, catalogue, manifest)
        owned.callback(self._ours.leave)
        self._theirs: Libvirtd | None = None
        if why_not() is None:
            files = domain_files(catalogue, directory, directory / FIRMWARE)
            self._theirs = Libvirtd(directory / "libvirt", files, MEMORY_BYTES)
            owned.callback(self._theirs.leave)
        self._vms = 0

    def begin(self) -> None:
        """Start both daemons."""
        self._ours.spawn()
        self._ours.await_ready()
        if self._theirs is not None:
            self._theirs.spawn()

    def grow(self, vms: int) -> None:
        """Give both so many VMs, and let each be killed once: a first restart fills caches."""
        self._vms = vms
        self._ours.grow(vms)
        if self._theirs is not None:
            self._theirs.grow(vms)
        self.rounds(1)

    def rounds(self, count: int) -> Restarts:
        """Kill and start both in turns."""
        ours, theirs = [], []
        for number in range(count):
            if number % 2 and self._theirs is not None:
                theirs.append(self._restart_theirs(self._theirs))
            ours.append(self._restart_ours())
            if not number % 2 and self._theirs is not None:
                theirs.append(self._restart_theirs(self._theirs))
        return Restarts(self._vms, tuple(ours), tuple(theirs))

    def _restart_ours(self) -> Restart:
        fleet = self._ours
        head = fleet.head()
        fleet.kill()
        begun = time.monotonic()
        fleet.spawn()
        seconds = fleet.await_adopted(head) - begun
        fleet.check()
        time.sleep(SETTLE_S)
        return Restart(seconds, seconds, fleet.memory())

    def _restart_theirs(self, libvirtd: Libvirtd) -> Restart:
        libvirtd.kill()
        begun = time.monotonic()
        libvirtd.spawn()
        known, adopted = libvirtd.await_adopted(self._vms)
        time.sleep(SETTLE_S)
        return Restart(adopted - begun, known - begun, libvirtd.memory())


def run(vms: list[int], rounds: int, contest: Contest, progress: Progress) -> list[Restarts]:
    """Return the restarts without VMs, and with each number of them in ascending order."""
    progress("starting both daemons", 0)
    contest.begin()
    found = []
    counts = sorted({0, *vms})
    for index, count in enumerate(counts):
        progress(f"{count} VMs", index / len(counts))
        contest.grow(count)
        found.append(contest.rounds(rounds))
    return found
