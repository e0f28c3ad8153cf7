"""One QEMU of many is stopped (SIGSTOP): how calls about the others answer, before and meanwhile.

Some of the calls meanwhile are made before the daemon calls it silent, while its question is open,
and some after. Before and meanwhile take turns, because a busy machine is not as busy all the time.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from statistics import median, quantiles

import msgspec
from chronovisor_api import v1
from rich.table import Table

from chronovisor_bench.paused_fleet import PausedFleet
from chronovisor_bench.timeline import LaunchFailed
from supervisor.vm import events as ev

CALLS = ("GetVm", "ListVms", "PauseVm")
PER_CALL = 20
"""Of each kind in each stretch, so that one takes a second."""
TURNS = 6
"""Of two stretches each, before and meanwhile, in one round, which takes half a minute."""
PERCENTILES = (50, 99)
GOAL = 1.25
"""As fast as before, and what two stretches of one run differ by on a machine that is not idle."""
LOST, ADOPTED = ev.TAGS[ev.ContactLost], ev.TAGS[ev.Adopted]

Seconds = dict[str, list[float]]


class Round(msgspec.Struct, frozen=True):
    """The seconds of every call, and how long it took to notice that one was silent, and back."""

    before: Seconds
    during: Seconds
    silent_after_s: float
    back_after_s: float


class Silence:
    """A fleet of which one falls silent. Methods raise LaunchFailed or Failure."""

    def __init__(self, fleet: PausedFleet) -> None:
        self._fleet = fleet
        self._victim, *self._others = fleet.vm_ids

    def round(self) -> Round:
        """Stop one and let it go on, in turns, and at last until it is called silent and back."""
        before: Seconds = {name: [] for name in CALLS}
        during: Seconds = {name: [] for name in CALLS}
        pid = self._get(self._victim).pid
        assert pid is not None
        for _ in range(TURNS):
            self._call_others(before)
            with _stopped(pid):
                self._call_others(during)
        self._call_others(before)
        head = self._fleet.head()
        with _stopped(pid):
            stopped = time.monotonic()
            self._fleet.await_each(head, [self._victim], LOST)
            silent_after_s = time.monotonic() - stopped
            self._check(v1.ContactState.SILENT)
            self._call_others(during)
        woken = time.monotonic()
        self._fleet.await_each(head, [self._victim], ADOPTED)
        back_after_s = time.monotonic() - woken
        self._check(v1.ContactState.OK)
        return Round(before, during, silent_after_s, back_after_s)

    def _call_others(self, seconds: Seconds) -> None:
        others = cycle(self._others)
        for _ in range(PER_CALL):
            vm_id = next(others)
            seconds["GetVm"].append(_timed(partial(self._get, vm_id)))
            seconds["ListVms"].append(_timed(self._list))
            self._resume(vm_id)
            seconds["PauseVm"].append(_timed(partial(self._pause, vm_id)))

    def _get(self, vm_id: str) -> v1.Vm:
        daemon = self._fleet.daemon
        return daemon.call(daemon.client.get(vm_id))

    def _list(self) -> None:
        daemon = self._fleet.daemon
        list(daemon.stream(daemon.client.list()))

    def _pause(self, vm_id: str) -> None:
        daemon = self._fleet.daemon
        daemon.call(daemon.client.pause(vm_id))

    def _resume(self, vm_id: str) -> None:
        daemon = self._fleet.daemon
        daemon.call(daemon.client.resume(vm_id))

    def _check(self, expected: v1.ContactState) -> None:
        contact = self._get(self._victim).contact
        if contact is None or contact.state is not expected:
            raise LaunchFailed(f"contact is {contact}, not {expected.name}")


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


class Answers(msgspec.Struct, frozen=True):
    """A percentile of one call's answers, in seconds."""

    call: str
    percentile: int
    before: float
    during: float
    ratio: float
    goal: float
    reached: bool


class Report(msgspec.Struct, frozen=True):
    """What one run found; medians, in seconds. ``load`` is the load average before and after."""

    vms: int
    rounds: int
    load: tuple[float, float]
    silent_after_s: float
    back_after_s: float
    answers: tuple[Answers, ...]


def report(vms: int, rounds: list[Round], load: tuple[float, float]) -> Report:
    """Return the percentiles over the calls of all rounds, of which there is at least one."""
    return Report(
        vms,
        len(rounds),
        load,
        median(each.silent_after_s for each in rounds),
        median(each.back_after_s for each in rounds),
        tuple(_answers(call, number, rounds) for call in CALLS for number in PERCENTILES),
    )


def _answers(call: str, number: int, rounds: list[Round]) -> Answers:
    before, during = (
        quantiles([s for each in stretch for s in each[call]], n=100)[number - 1]
        for stretch in ([each.before for each in rounds], [each.during for each in rounds])
    )
    ratio = during / before
    return Answers(call, number, before, during, ratio, GOAL, ratio <= GOAL)


def table(found: Report) -> Table:
    """Return what people read."""
    before, after = found.load
    title = (
        f"One of {found.vms} QEMUs stopped: silent after {found.silent_after_s:.1f} s,\n"
        f"back {found.back_after_s:.2f} s after it went on; load {before:.1f} to {after:.1f}\n"
        f"Answers about the others in {found.rounds} rounds, in milliseconds"
    )
    made = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column in ("call", "percentile", "before", "during", "compared", "goal", "reached"):
        made.add_column(column, justify="left" if column in ("call", "reached") else "right")
    for each in found.answers:
        made.add_row(
            each.call,
            f"p{each.percentile}",
            f"{each.before * 1000:.1f}",
            f"{each.during * 1000:.1f}",
            f"{each.ratio:.2f} x",
            f"<= {each.goal:g} x",
            "yes" if each.reached else "no",
        )
    return made
