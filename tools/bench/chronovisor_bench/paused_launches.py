"""Launches up to the paused machine, one alone and several at once: ours, and libvirt's createXML.

The same QEMU, machine and images, with a guest that does nothing. Ours counts from the accepted
submit to QMP ready, in the times of the daemon's events; libvirt's counts from the call to its
return. The VMs of a batch are ended before the next one begins.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import msgspec
from chronovisor_api import v1

from chronovisor_bench.libvirt_client import Connection
from chronovisor_bench.libvirtd import Libvirtd
from chronovisor_bench.timeline import LaunchFailed
from supervisor.cli.connection import Daemon
from supervisor.vm import events as ev

AT_ONCE = (1, 8)
GOAL = 0.5
"""At most half of what createXML takes, one launch alone."""
VM_STREAM = "vm/"
SUBMITTED, READY, STARTED, STOPPED, FAILED = (
    ev.TAGS[kind]
    for kind in (ev.ComputationSubmitted, ev.QmpReady, ev.GuestStarted, ev.VmStopped, ev.VmFailed)
)


class Batch(msgspec.Struct, frozen=True):
    """Launches that began together: the seconds of each, and until the last of them was ready."""

    each_s: tuple[float, ...]
    all_s: float


class Launches(msgspec.Struct, frozen=True):
    """The batches of one size, in the order of the rounds, and their medians in seconds.

    What is libvirt's is empty or None where there is none. Of several at once there is no goal.
    """

    at_once: int
    chronovisor: tuple[Batch, ...]
    libvirt: tuple[Batch, ...]
    chronovisor_median: float
    libvirt_median: float | None
    ratio: float | None
    goal: float | None
    reached: bool | None


class PausedLaunches:
    """Both contestants. Methods raise LaunchFailed, Failure or LibvirtFailed."""

    def __init__(self, daemon: Daemon, manifest: v1.Manifest, libvirtd: Libvirtd | None) -> None:
        self._daemon = daemon
        self._manifest = manifest
        self._libvirtd = libvirtd

    def rounds(self, at_once: int, count: int) -> Launches:
        """Launch batches in turns, after one of each that is not counted."""
        ours, theirs = [], []
        for number in range(count + 1):
            if number % 2 and self._libvirtd is not None:
                theirs.append(created(self._libvirtd, at_once))
            ours.append(submitted(self._daemon, self._manifest, at_once))
            if not number % 2 and self._libvirtd is not None:
                theirs.append(created(self._libvirtd, at_once))
        return _launches(at_once, ours[1:], theirs[1:])


def _launches(at_once: int, ours: Sequence[Batch], theirs: Sequence[Batch]) -> Launches:
    ours_s = median(seconds for batch in ours for seconds in batch.each_s)
    goal = GOAL if at_once == 1 else None
    if not theirs:
        return Launches(at_once, tuple(ours), (), ours_s, None, None, goal, None)
    theirs_s = median(seconds for batch in theirs for seconds in batch.each_s)
    ratio = ours_s / theirs_s
    reached = None if goal is None else ratio <= goal
    return Launches(at_once, tuple(ours), tuple(theirs), ours_s, theirs_s, ratio, goal, reached)


def created(libvirtd: Libvirtd, count: int) -> Batch:
    """Let so many clients of libvirt each start a domain at once, and end them."""
    described = [libvirtd.describe() for _ in range(count)]
    clients = [libvirtd.connect() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        begun = time.monotonic()
        made = list(pool.map(_create, clients, described))
        all_s = time.monotonic() - begun
        list(pool.map(lambda client, domain: client.destroy(domain[0]), clients, made))
    for client in clients:
        client.close()
    return Batch(tuple(seconds for _, seconds in made), all_s)


def _create(client: Connection, xml: str) -> tuple[int, float]:
    begun = time.monotonic()
    return client.create_paused(xml), time.monotonic() - begun


def submitted(daemon: Daemon, manifest: v1.Manifest, count: int) -> Batch:
    """Submit so many computations at once, and end them once their guests run."""
    head = daemon.call(daemon.client.log()).head

    async def submit_all() -> None:
        await asyncio.gather(*(daemon.client.submit(manifest) for _ in range(count)))

    daemon.call(submit_all())
    accepted, ready = _seen(daemon, head, count)
    for vm_id in accepted:
        daemon.call(daemon.client.kill(vm_id))
    _await_ends(daemon, head, count)
    each_s = tuple(ready[vm_id] - accepted[vm_id] for vm_id in ready)
    return Batch(each_s, max(ready.values()) - min(accepted.values()))


def _seen(daemon: Daemon, head: int, count: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return when each VM was accepted and when its QMP was ready, once all the guests run."""
    times: dict[str, dict[str, float]] = {SUBMITTED: {}, READY: {}, STARTED: {}}
    for event in daemon.stream(daemon.patient.watch(after=head, types=(*times, FAILED))):
        if event.type == FAILED or event.time is None:
            raise LaunchFailed(f"a VM failed: {event.data_json}")
        times[event.type][event.stream.removeprefix(VM_STREAM)] = event.time.timestamp()
        if len(times[STARTED]) == count:
            break
    return times[SUBMITTED], times[READY]


def _await_ends(daemon: Daemon, head: int, count: int) -> None:
    watch = daemon.patient.watch(after=head, types=(STOPPED, FAILED))
    for number, _ in enumerate(daemon.stream(watch), 1):
        if number == count:
            break
