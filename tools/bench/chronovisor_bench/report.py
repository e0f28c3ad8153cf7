"""Timelines -> medians, ratios and goals: a table for people, one object for programs."""

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec
from rich.table import Table

from chronovisor_bench.paused_launches import Launches
from chronovisor_bench.timeline import MEASURES, STEPS, Difference, Measure, Ratio, Span, Timeline

ABSENT = "-"


class Rounds(msgspec.Struct, frozen=True):
    """The timelines of one run, in the order of the rounds, and the launches up to paused."""

    bare: tuple[Timeline, ...]
    supervised: tuple[Timeline, ...]
    paused: tuple[Launches, ...]


class Result(msgspec.Struct, frozen=True):
    """One measure; the medians, and their difference, are in seconds."""

    name: str
    title: str
    bare_median: float
    chronovisor_median: float
    ratio: float
    difference: float
    goal: Ratio | Difference
    reached: bool


class Step(msgspec.Struct, frozen=True):
    """One step of a launch; the median is in seconds, and None where there is no such step."""

    start: str
    end: str
    bare_median: float | None
    chronovisor_median: float | None


class Report(msgspec.Struct, frozen=True):
    """What one run found. ``samples`` holds seconds since the first moment of each launch."""

    rounds: int
    measures: tuple[Result, ...]
    steps: tuple[Step, ...]
    paused: tuple[Launches, ...]
    without_libvirt: str | None
    samples: dict[str, tuple[dict[str, float], ...]]


def report(rounds: Rounds, without_libvirt: str | None) -> Report:
    """Return the medians of at least one round."""
    return Report(
        rounds=len(rounds.bare),
        measures=tuple(_result(measure, rounds) for measure in MEASURES),
        steps=tuple(_step(span, rounds) for span in STEPS),
        paused=rounds.paused,
        without_libvirt=without_libvirt,
        samples={
            "bare": tuple(_sample(timeline) for timeline in rounds.bare),
            "chronovisor": tuple(_sample(timeline) for timeline in rounds.supervised),
        },
    )


def _result(measure: Measure, rounds: Rounds) -> Result:
    bare = median(measure.bare.seconds(timeline) for timeline in rounds.bare)
    supervised = median(measure.supervised.seconds(timeline) for timeline in rounds.supervised)
    return Result(
        name=measure.name,
        title=measure.title,
        bare_median=bare,
        chronovisor_median=supervised,
        ratio=supervised / bare,
        difference=supervised - bare,
        goal=measure.goal,
        reached=measure.goal.reached(bare, supervised),
    )


def _step(span: Span, rounds: Rounds) -> Step:
    bare = _median(span, rounds.bare)
    return Step(span.start.value, span.end.value, bare, _median(span, rounds.supervised))


def _median(span: Span, timelines: Iterable[Timeline]) -> float | None:
    reached = [each for each in timelines if span.start in each and span.end in each]
    return median(span.seconds(each) for each in reached) if reached else None


def _sample(timeline: Timeline) -> dict[str, float]:
    first = min(timeline.values())
    return {moment.value: at - first for moment, at in timeline.items()}


def tables(found: Report) -> Sequence[Table]:
    """Return the measures with their goals, where the time goes, and libvirt's createXML."""
    return _measures(found), _steps(found), _paused(found)


def _measures(found: Report) -> Table:
    titles = ("measure", "bare QEMU", "chronovisor", "compared", "goal", "reached")
    table = _table(f"Medians of {found.rounds} rounds, in milliseconds", titles)
    for result in found.measures:
        bare, supervised = result.bare_median, result.chronovisor_median
        table.add_row(
            result.title,
            _milliseconds(bare),
            _milliseconds(supervised),
            result.goal.compare(bare, supervised),
            str(result.goal),
            "yes" if result.reached else "no",
        )
    return table


def _steps(found: Report) -> Table:
    table = _table("Where the time goes, in milliseconds", ("step", "bare QEMU", "chronovisor"))
    for step in found.steps:
        bare, supervised = step.bare_median, step.chronovisor_median
        name = f"{step.start} -> {step.end}"
        table.add_row(
            name, *(ABSENT if s is None else _milliseconds(s) for s in (bare, supervised))
        )
    return table


def _paused(found: Report) -> Table:
    title = "Submit to QMP ready, paused: medians, in milliseconds"
    if found.without_libvirt:
        title += f"\nno libvirt: {found.without_libvirt}"
    titles = ("at once", "chronovisor", "libvirt", "compared", "goal", "reached")
    table = _table(title, titles)
    for each in found.paused:
        table.add_row(
            str(each.at_once),
            _milliseconds(each.chronovisor_median),
            _milliseconds(each.libvirt_median),
            ABSENT if each.ratio is None else f"{each.ratio:.2f} x",
            ABSENT if each.goal is None else f"<= {each.goal:g} x",
            ABSENT if each.reached is None else "yes" if each.reached else "no",
        )
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column in columns:
        numeric = column in ("bare QEMU", "chronovisor", "libvirt", "compared")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    return table


def _milliseconds(seconds: float | None) -> str:
    return ABSENT if seconds is None else f"{seconds * 1000:.1f}"
