"""Restarts -> medians, ratios and goals: tables for people, one object for programs."""

from collections.abc import Callable, Sequence
from statistics import median

import msgspec
from rich.table import Table

from chronovisor_bench.recovery import Restart, Restarts

TIME_GOALS = {50: 2.0, 200: 1.0}
"""VMs -> at most so many times as long as libvirtd, to all adopted and APIs serving."""
MEMORY_GOAL_BYTES = 150_000
"""Of the daemon, for each VM."""
ABSENT = "-"


class Timing(msgspec.Struct, frozen=True):
    """Medians with so many VMs, in seconds; None where there is no libvirt, or no goal."""

    vms: int
    chronovisor_s: float
    libvirt_s: float | None
    libvirt_known_s: float | None
    ratio: float | None
    goal: float | None
    reached: bool | None


class Growth(msgspec.Struct, frozen=True):
    """What one VM adds to a daemon's memory, in bytes, against the same daemon without VMs."""

    vms: int
    who: str
    resident: float
    proportional: float
    goal: int | None
    reached: bool | None


class Recovery(msgspec.Struct, frozen=True):
    """What one run found. ``load`` is the host's load average before and after."""

    rounds: int
    load: tuple[float, float]
    without_libvirt: str | None
    timings: tuple[Timing, ...]
    memory: tuple[Growth, ...]
    samples: tuple[Restarts, ...]


def recovery(
    found: Sequence[Restarts], load: tuple[float, float], without_libvirt: str | None
) -> Recovery:
    """Return the medians of at least one round, of which the first are without VMs."""
    return Recovery(
        rounds=len(found[0].chronovisor),
        load=load,
        without_libvirt=without_libvirt,
        timings=tuple(_timing(each) for each in found),
        memory=tuple(_growths(found[0], found[1:])),
        samples=tuple(found),
    )


def _timing(each: Restarts) -> Timing:
    ours, goal = _median(each.chronovisor, _seconds), TIME_GOALS.get(each.vms)
    if not each.libvirt:
        return Timing(each.vms, ours, None, None, None, goal, None)
    theirs, known = _median(each.libvirt, _seconds), _median(each.libvirt, lambda r: r.known_s)
    ratio = ours / theirs
    return Timing(
        each.vms, ours, theirs, known, ratio, goal, None if goal is None else ratio <= goal
    )


def _growths(without: Restarts, found: Sequence[Restarts]) -> list[Growth]:
    growths = []
    for each in found:
        growths.append(_growth("chronovisor", each.vms, without.chronovisor, each.chronovisor))
        if each.libvirt:
            growths.append(_growth("libvirtd", each.vms, without.libvirt, each.libvirt))
    return growths


def _growth(who: str, vms: int, without: Sequence[Restart], those: Sequence[Restart]) -> Growth:
    resident, proportional = (
        (_median(those, size) - _median(without, size)) / vms for size in (_resident, _proportional)
    )
    if who != "chronovisor" or vms not in TIME_GOALS:  # of one VM it is all chance
        return Growth(vms, who, resident, proportional, None, None)
    reached = proportional <= MEMORY_GOAL_BYTES
    return Growth(vms, who, resident, proportional, MEMORY_GOAL_BYTES, reached)


def _seconds(restart: Restart) -> float:
    return restart.seconds


def _resident(restart: Restart) -> float:
    return restart.memory.resident


def _proportional(restart: Restart) -> float:
    return restart.memory.proportional


def _median(restarts: Sequence[Restart], of: Callable[[Restart], float]) -> float:
    return median(map(of, restarts))


def tables(found: Recovery) -> Sequence[Table]:
    """Return the times and the memory, with their goals."""
    return _times(found), _memory(found)


def _times(found: Recovery) -> Table:
    before, after = found.load
    title = (
        f"Exec to all adopted and APIs serving, in seconds\n"
        f"medians of {found.rounds} rounds; load {before:.1f} to {after:.1f}"
    )
    if found.without_libvirt:
        title += f"\nno libvirt: {found.without_libvirt}"
    columns = ("VMs", "chronovisor", "libvirtd", "(states told)", "compared", "goal", "reached")
    table = _table(title, columns)
    for each in found.timings:
        table.add_row(
            str(each.vms),
            _number(each.chronovisor_s, "{:.3f}"),
            _number(each.libvirt_s, "{:.3f}"),
            _number(each.libvirt_known_s, "{:.3f}"),
            _number(each.ratio, "{:.2f} x"),
            _number(each.goal, "<= {:g} x"),
            _verdict(each),
        )
    return table


def _memory(found: Recovery) -> Table:
    table = _table(
        "What one VM adds to a daemon's memory, in KB",
        ("VMs", "daemon", "resident", "proportional", "goal", "reached"),
    )
    for each in found.memory:
        table.add_row(
            str(each.vms),
            each.who,
            _number(each.resident / 1000, "{:.0f}"),
            _number(each.proportional / 1000, "{:.0f}"),
            ABSENT if each.goal is None else f"<= {each.goal // 1000}",
            _verdict(each),
        )
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column in columns:
        words = column in ("daemon", "goal", "reached")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    return table


def _number(value: float | None, form: str) -> str:
    return ABSENT if value is None else form.format(value)


def _verdict(found: Timing | Growth) -> str:
    return ABSENT if found.reached is None else "yes" if found.reached else "no"
