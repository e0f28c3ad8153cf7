"""Samples -> medians, ratios and goals."""

import enum
from collections.abc import Iterator
from statistics import median

import msgspec

from eventlog_bench.contest import EVENTSOURCING, LOG, PRODUCERS, RAW, SQLITE, Found


class Unit(enum.Enum):
    """How a figure is to be read."""

    RATIO = "x"
    PER_SECOND = "/s"
    SECONDS = "s"


class Bound(enum.Enum):
    """Which side of its limit a figure should be on."""

    AT_MOST = "<="
    AT_LEAST = ">="


class Goal(msgspec.Struct, frozen=True):
    """A figure's limit."""

    bound: Bound
    limit: float

    def reached_by(self, value: float) -> bool:
        """Whether a figure is on the right side."""
        return value <= self.limit if self.bound is Bound.AT_MOST else value >= self.limit


class Figure(msgspec.Struct, frozen=True):
    """One measure; `reached` is None where there is no goal."""

    title: str
    value: float
    unit: Unit
    goal: Goal | None
    reached: bool | None


class Speed(msgspec.Struct, frozen=True):
    """Medians of one contestant; `ratio` is its throughput against the raw writes'."""

    who: str
    producers: int
    per_second: float
    p50: float
    p99: float
    ratio: float


class Report(msgspec.Struct, frozen=True):
    """What one run found. Times are in seconds."""

    rounds: int
    event_bytes: int
    speeds: tuple[Speed, ...]
    figures: tuple[Figure, ...]
    samples: Found


def report(found: Found) -> Report:
    """Return medians, and the goals held against them."""
    speeds = {(one.who, one.producers): one for one in _speeds(found)}
    return Report(
        rounds=len(found.figures["replay"]),
        event_bytes=found.event_bytes,
        speeds=tuple(speeds.values()),
        figures=(*_append_figures(speeds), *_other_figures(found)),
        samples=found,
    )


def _speeds(found: Found) -> Iterator[Speed]:
    raw = median(one.per_second for one in found.appends[f"{RAW}/1"])
    for name, samples in found.appends.items():
        who, _, producers = name.partition("/")
        per_second = median(one.per_second for one in samples)
        yield Speed(
            who,
            int(producers),
            per_second,
            median(one.p50 for one in samples),
            median(one.p99 for one in samples),
            per_second / raw,
        )


RAW_GOALS = {1: 0.5, 64: 11, 256: 17}
SQLITE_GOALS = {1: 1.1, 64: 1.3, 256: 2}


def _append_figures(speeds: dict[tuple[str, int], Speed]) -> Iterator[Figure]:
    raw, alone, many = speeds[RAW, 1], speeds[LOG, 1], speeds[LOG, 64]
    yield _at_most("append, 1 producer: p50 against raw", alone.p50 / raw.p50, 1.7)
    for producers in PRODUCERS:
        ratio = speeds[LOG, producers].ratio
        yield _ratio(f"throughput against raw, {producers}", ratio, RAW_GOALS.get(producers))
    yield _at_most("p99 with 64 against raw p50", many.p99 / raw.p50, 8)
    for producers in PRODUCERS:
        ratio = speeds[LOG, producers].per_second / speeds[SQLITE, producers].per_second
        yield _ratio(f"throughput against SQLite, {producers}", ratio, SQLITE_GOALS.get(producers))
    if (EVENTSOURCING, 1) in speeds:
        ratio = alone.per_second / speeds[EVENTSOURCING, 1].per_second
        yield _ratio("throughput against eventsourcing, 1", ratio, None)


def _other_figures(found: Found) -> Iterator[Figure]:
    middle = {name: median(samples) for name, samples in found.figures.items()}
    yield _rate("replay: verify, decode, fold", middle["replay"], 1_000_000)
    yield _rate("full audit with hash tree", middle["audit"], 750_000)
    fan_out = middle["fan_out"] / middle["channels"]
    yield _ratio("bytes taken by 100 subscribers against channels", fan_out, 10)
    yield _figure("wake-up of 100 subscribers, p50", middle["wake_p50"], Unit.SECONDS, None)
    slowest = Goal(Bound.AT_MOST, 400e-6)
    yield _figure("wake-up of 100 subscribers, p99", middle["wake_p99"], Unit.SECONDS, slowest)
    beside = middle["stalled"] / middle["unwatched"]
    yield _ratio("appends beside 100 stalled readers against none", beside, 0.95)


def _at_most(title: str, value: float, limit: float) -> Figure:
    return _figure(title, value, Unit.RATIO, Goal(Bound.AT_MOST, limit))


def _ratio(title: str, value: float, limit: float | None) -> Figure:
    return _figure(title, value, Unit.RATIO, Goal(Bound.AT_LEAST, limit) if limit else None)


def _rate(title: str, value: float, limit: float) -> Figure:
    return _figure(title, value, Unit.PER_SECOND, Goal(Bound.AT_LEAST, limit))


def _figure(title: str, value: float, unit: Unit, goal: Goal | None) -> Figure:
    return Figure(title, value, unit, goal, None if goal is None else goal.reached_by(value))
