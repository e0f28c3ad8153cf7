"""Every measure in turns, round after round, so that what is compared was measured side by side."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from api_bench import submitting, subscribing
from api_bench.submitting import Submitting
from api_bench.subscribing import STALLED, WATCHERS, Contestant


class Sizes(msgspec.Struct, frozen=True):
    """How much of each is measured."""

    rounds: int
    submits: submitting.Sizes
    subscribers: subscribing.Sizes


FULL = Sizes(
    5,
    submitting.Sizes(alone=200, at_once=1000, watched=2000),
    subscribing.Sizes({1: 10_000, 100: 1000, 1000: 100}, 16_000, 200, 0.01, 500),
)
QUICK = Sizes(
    1,
    submitting.Sizes(alone=5, at_once=64, watched=20),
    subscribing.Sizes({1: 64, 100: 32}, 64, 5, 0.001, 5),
)

T = TypeVar("T")

Samples = dict[str, list[float]]
"""By ``measure/who``: one figure a round."""


class Found(msgspec.Struct, frozen=True):
    """All samples; ``load`` is the load average before and after."""

    sizes: Sizes
    load: tuple[float, float]
    samples: Samples


def contest(
    directory: Path, catalogue: Path, sizes: Sizes, progress: Callable[[str, float], None]
) -> Found:
    """Measure everything; what is made below ``directory`` is removed as it goes."""
    samples: defaultdict[str, list[float]] = defaultdict(list)
    load = os.getloadavg()[0]
    progress("a daemon and an echo", 0)
    with submitting.submitting(directory, catalogue, sizes.submits) as submits:
        for number in range(sizes.rounds):
            progress(f"submits {number + 1} of {sizes.rounds}", number / sizes.rounds / 2)
            _submit_round(submits, number, sizes.submits, samples)
    for number in range(sizes.rounds):
        progress(f"events {number + 1} of {sizes.rounds}", 0.5 + number / sizes.rounds / 2)
        _fan_out_round(directory, number, sizes.subscribers, samples)
        _watch_round(directory, sizes.subscribers, samples)
    return Found(sizes, (load, os.getloadavg()[0]), dict(samples))


def _submit_round(
    bench: Submitting, number: int, sizes: submitting.Sizes, samples: defaultdict[str, list[float]]
) -> None:
    samples["sync/floor"].append(bench.floor_s(sizes))
    for who, run in _in_turn(number, ("bare", bench.bare), ("ours", bench.ours)):
        found = run(sizes)
        for name, answered in (("alone", found.alone), ("at_once", found.at_once)):
            waits = sorted(answered.each_s)
            samples[f"{name}_per_s/{who}"].append(len(waits) / answered.all_s)
            samples[f"{name}_p50/{who}"].append(percentile(waits, 50))
            samples[f"{name}_p99/{who}"].append(percentile(waits, 99))
        samples[f"watched_per_s/{who}"].append(found.watched_per_s)


def _fan_out_round(
    directory: Path,
    number: int,
    sizes: subscribing.Sizes,
    samples: defaultdict[str, list[float]],
) -> None:
    contestants = (
        ("bare", Contestant("broadcast", directory)),
        ("ours", Contestant("feed", directory)),
    )
    for subscribers, events in sizes.bursts.items():
        for who, server in _in_turn(number, *contestants):
            found = server.fan_out(subscribers, events)
            samples[f"fan_out_{subscribers}/{who}"].append(found.per_s)
            samples[f"memory_{subscribers}/{who}"].append(found.bytes_each)


def _watch_round(
    directory: Path, sizes: subscribing.Sizes, samples: defaultdict[str, list[float]]
) -> None:
    bare, ours = Contestant("broadcast", directory), Contestant("feed", directory)
    trips, (waits, sends) = bare.round_trips(sizes), ours.latencies(sizes)
    floor, _ = Contestant("writes", directory).latencies(sizes)
    events, reading = sizes.bursts[WATCHERS], WATCHERS - STALLED
    for number in (50, 99):
        samples[f"round_trip_p{number}/bare"].append(percentile(trips, number))
        samples[f"append_p{number}/floor"].append(percentile(floor, number))
        samples[f"append_p{number}/ours"].append(percentile(waits, number))
        samples[f"durable_p{number}/ours"].append(percentile(sends, number))
    for name, stalled in (("unstalled", 0), ("stalled", STALLED)):
        found = ours.fan_out(reading, events, filling=sizes.filling, stalled=stalled)
        samples[f"fan_out/{name}"].append(found.per_s)


def _in_turn(number: int, *contestants: tuple[str, T]) -> tuple[tuple[str, T], ...]:
    """Return the contestants; who begins changes, so that neither is always second."""
    return contestants[::-1] if number % 2 else contestants


def percentile(waits: list[float], number: int) -> float:
    """Return a percentile of sorted samples."""
    return waits[min(len(waits) * number // 100, len(waits) - 1)]
