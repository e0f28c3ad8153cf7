"""Every measure in turns, round after round, so that what is compared was measured side by side."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec

from eventlog import open_log, open_over
from eventlog_bench import fanout, reading, sourcing
from eventlog_bench.appending import Appends, producers, raw
from eventlog_bench.sqlite_journal import open_sqlite
from eventlog_bench.workload import frame_of, write_log

T = TypeVar("T")

PRODUCERS = (1, 8, 64, 256)

RAW = "raw"
LOG = "eventlog"
SQLITE = "sqlite"
EVENTSOURCING = "eventsourcing"

CHANNEL_SHARE = 5
"""Channels are slower, so they are given fewer events: bytes per second are what is compared."""


class Sizes(msgspec.Struct, frozen=True):
    """How much of each is measured: appends by number of producers, events of the other logs."""

    rounds: int
    appends: dict[int, int]
    history: int
    fanned_out: int
    wakes: int
    stalled: int


FULL = Sizes(5, {1: 2000, 8: 8000, 64: 30_000, 256: 50_000}, 200_000, 10_000, 500, 2000)
QUICK = Sizes(1, {1: 50, 8: 80, 64: 640, 256: 2560}, 2000, 500, 20, 50)


class Found(msgspec.Struct, frozen=True):
    """All samples: appends by `who/producers`, and other figures by their name."""

    event_bytes: int
    appends: dict[str, list[Appends]]
    figures: dict[str, list[float]]


def contest(directory: Path, sizes: Sizes, progress: Callable[[str, float], None]) -> Found:
    """Measure everything below `directory`; what it makes there is removed as it goes."""
    appends: defaultdict[str, list[Appends]] = defaultdict(list)
    figures: defaultdict[str, list[float]] = defaultdict(list)
    progress("writing a log", 0)
    with TemporaryDirectory(dir=directory) as history:
        event_bytes = write_log(Path(history), sizes.history)
        for number in range(sizes.rounds):
            progress(f"round {number + 1} of {sizes.rounds}", number / sizes.rounds)
            _append_round(directory, sizes, event_bytes, appends)
            figures["replay"].append(reading.replay(Path(history)))
            figures["audit"].append(reading.audit(Path(history)))
            _fan_out_round(directory, sizes, figures)
    return Found(event_bytes, dict(appends), dict(figures))


def _append_round(
    directory: Path, sizes: Sizes, event_bytes: int, found: defaultdict[str, list[Appends]]
) -> None:
    alone = sizes.appends[1]
    found[f"{RAW}/1"].append(_afresh(directory, lambda d: raw(d, frame_of(event_bytes), alone)))
    if sourcing.INSTALLED:
        state = bytes(event_bytes)
        found[f"{EVENTSOURCING}/1"].append(
            _afresh(directory, lambda d: sourcing.recorder(d, state, alone))
        )
    for number in PRODUCERS:
        count = sizes.appends[number]
        for who, run in ((LOG, _log_run), (SQLITE, _sqlite_run)):
            found[f"{who}/{number}"].append(_afresh(directory, partial(run, number, count)))


def _log_run(number: int, count: int, directory: Path) -> Appends:
    return producers(lambda: open_log(directory), number, count)


def _sqlite_run(number: int, count: int, directory: Path) -> Appends:
    return producers(lambda: open_over(lambda: open_sqlite(directory)), number, count)


def _fan_out_round(directory: Path, sizes: Sizes, found: defaultdict[str, list[float]]) -> None:
    events = sizes.fanned_out
    found["fan_out"].append(_afresh(directory, lambda d: fanout.from_log(d, events)))
    found["channels"].append(fanout.from_channels(events // CHANNEL_SHARE))
    wakes = _afresh(directory, lambda d: fanout.wakes(d, sizes.wakes))
    found["wake_p50"].append(wakes[len(wakes) // 2])
    found["wake_p99"].append(wakes[len(wakes) * 99 // 100])
    for name, stalled in (("unwatched", 0), ("stalled", fanout.SUBSCRIBERS)):
        run = partial(fanout.append_beside_stalled, count=sizes.stalled, stalled=stalled)
        found[name].append(_afresh(directory, run))


def _afresh(directory: Path, run: Callable[[Path], T]) -> T:
    with TemporaryDirectory(dir=directory) as name:
        return run(Path(name))
