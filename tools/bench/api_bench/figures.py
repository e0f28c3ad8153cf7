"""Samples -> medians, ratios and goals: one object for programs, a table for people."""

import enum
from collections.abc import Iterator
from statistics import median

import msgspec
from eventlog_bench.goals import Bound, Goal
from rich.table import Table

from api_bench.contest import Found
from api_bench.submitting import IN_FLIGHT
from api_bench.subscribing import STALLED, WATCHERS

SUBMITS = Goal(Bound.AT_LEAST, 0.5)
FAN_OUT = Goal(Bound.AT_LEAST, 0.7)
LATENCY = Goal(Bound.AT_MOST, 10)
BESIDE_STALLED = Goal(Bound.AT_LEAST, 0.95)


class Unit(enum.Enum):
    """How a median is to be read."""

    PER_SECOND = "/s"
    SECONDS = "s"
    BYTES = "B"


class Comparison(msgspec.Struct, frozen=True):
    """One measure: the medians of ours and of what it is held against, and their ratio."""

    title: str
    unit: Unit
    bare: float
    ours: float
    ratio: float
    goal: Goal | None
    reached: bool | None


class Report(msgspec.Struct, frozen=True):
    """What one run found."""

    rounds: int
    load: tuple[float, float]
    comparisons: tuple[Comparison, ...]
    samples: dict[str, list[float]]


def report(found: Found) -> Report:
    """Return the medians of at least one round, with the goals held against them."""
    middle = {name: median(samples) for name, samples in found.samples.items()}
    comparisons = (*_calls(middle), *_events(middle, list(found.sizes.subscribers.bursts)))
    return Report(found.sizes.rounds, found.load, comparisons, found.samples)


def _calls(middle: dict[str, float]) -> Iterator[Comparison]:
    def both(title: str, unit: Unit, name: str, goal: Goal | None = None) -> Comparison:
        return _comparison(title, unit, middle[f"{name}/bare"], middle[f"{name}/ours"], goal)

    yield both(f"submits, {IN_FLIGHT} in flight", Unit.PER_SECOND, "at_once_per_s", SUBMITS)
    yield both(f"submit, {IN_FLIGHT} in flight: p50", Unit.SECONDS, "at_once_p50")
    yield both(f"submit, {IN_FLIGHT} in flight: p99", Unit.SECONDS, "at_once_p99")
    yield both("submit, alone: p50", Unit.SECONDS, "alone_p50")
    yield both("submit, alone: p99", Unit.SECONDS, "alone_p99")
    least = middle["alone_p50/bare"] + middle["sync/floor"]
    title = "submit, alone: p50 against echo + sync"
    yield _comparison(title, Unit.SECONDS, least, middle["alone_p50/ours"], None)
    yield both("WatchEvents, one client", Unit.PER_SECOND, "watched_per_s")


def _events(middle: dict[str, float], subscribers: list[int]) -> Iterator[Comparison]:
    for number in subscribers:
        bare, ours = middle[f"fan_out_{number}/bare"], middle[f"fan_out_{number}/ours"]
        yield _comparison(f"events to {number} WebSockets", Unit.PER_SECOND, bare, ours, FAN_OUT)
    for since, limit in (("append", LATENCY), ("durable", None)):
        for number, goal in ((50, None), (99, limit)):
            title = f"{since} to {WATCHERS} clients: p{number} against a round trip"
            trip, ours = middle[f"round_trip_p{number}/bare"], middle[f"{since}_p{number}/ours"]
            yield _comparison(title, Unit.SECONDS, trip, ours, goal)
    for number in (50, 99):
        title = f"append to {WATCHERS} clients: p{number} against a loop of writes"
        floor, ours = middle[f"append_p{number}/floor"], middle[f"append_p{number}/ours"]
        yield _comparison(title, Unit.SECONDS, floor, ours, None)
    most = max(subscribers)
    bare, ours = middle[f"memory_{most}/bare"], middle[f"memory_{most}/ours"]
    yield _comparison(f"memory of each of {most} WebSockets", Unit.BYTES, bare, ours, None)
    without, beside = middle["fan_out/unstalled"], middle["fan_out/stalled"]
    title = f"events to {WATCHERS - STALLED} beside {STALLED} stalled, against none"
    yield _comparison(title, Unit.PER_SECOND, without, beside, BESIDE_STALLED)


def _comparison(title: str, unit: Unit, bare: float, ours: float, goal: Goal | None) -> Comparison:
    ratio = ours / bare
    reached = None if goal is None else goal.reached_by(ratio)
    return Comparison(title, unit, bare, ours, ratio, goal, reached)


def table(found: Report) -> Table:
    """Return what people read."""
    before, after = found.load
    title = f"Medians of {found.rounds} rounds; load {before:.1f} to {after:.1f}"
    made = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for column in ("measure", "bare", "chronovisor", "compared", "goal", "reached"):
        made.add_column(
            column, justify="left" if column in ("measure", "reached") else "right", no_wrap=True
        )
    for one in found.comparisons:
        made.add_row(
            one.title,
            _shown(one.bare, one.unit),
            _shown(one.ours, one.unit),
            f"{one.ratio:.2f}x",
            f"{one.goal.bound.value} {one.goal.limit:g}x" if one.goal else "",
            {None: "", True: "yes", False: "no"}[one.reached],
        )
    return made


def _shown(value: float, unit: Unit) -> str:
    match unit:
        case Unit.PER_SECOND:
            return f"{value:,.0f}/s"
        case Unit.SECONDS:
            return f"{value * 1000:.2f} ms"
        case Unit.BYTES:
            return f"{value / 1024:.1f} KiB"
