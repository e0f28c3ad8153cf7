"""Layer 5: power cuts under a real filesystem.

A writer runs once on a disk that notes every write and flush. Then that disk is rebuilt as it may
have stood at any moment: all that was flushed, and of the rest a random part of the sectors. The
kernel mounts it, replaying its journal, and the log must hold what was acknowledged by then.
"""

import itertools
import os
import random
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import msgspec

from chronovisor_crash import mutants
from chronovisor_crash.child import SECONDS, Child, Voice
from chronovisor_crash.findings import Budget, Finding, LayerReport, Outcome, Tally
from chronovisor_crash.mounting import (
    FILESYSTEMS,
    CommandFailed,
    Filesystem,
    command,
    make,
    mounted,
    recorded,
    why_not_here,
)
from chronovisor_crash.mutants import Mutant
from chronovisor_crash.recording_disk import RECORD_SIZE, Request, read_trace
from chronovisor_crash.workload import STREAM, Appender, judge
from eventlog import EventLogError, read_log, verify_log
from eventlog.frame import SECTOR
from eventlog.storage import DiskStorage

LAYER = "powercut"
MUTANTS = (
    mutants.NO_DATA_SYNC,
    mutants.NO_DIRECTORY_SYNC,
    mutants.SEAL_WITHOUT_SYNC,
    mutants.EARLY_WORD,
    mutants.NO_CHAIN_CHECK,
)
BATCHES = 24
"""Some rollovers; the whole recording stays far below a filesystem's own flush interval."""

CUTS = 40
"""Of one recording; then another is made, as the kernel orders its writes anew."""

MUTANT_CUTS = 6 * CUTS
_LOG = "log"
_SURVIVAL = (0.0, 0.1, 0.5, 0.9, 1.0)


class Recording(msgspec.Struct, frozen=True):
    """One run: the disk before it, what was done to it, and the trace's length at each word."""

    filesystem: Filesystem
    before: Path
    requests: list[Request]
    words: list[int]

    @property
    def flushes(self) -> list[int]:
        """The moments before each flush, when most is at stake."""
        return [request.end - RECORD_SIZE for request in self.requests if not request.data]


def record(filesystem: Filesystem, mutant: Mutant, scratch: Path) -> Recording:
    """Let a writer run on a fresh filesystem. Raises CommandFailed."""
    image, before, trace = scratch / "image", scratch / "before", scratch / "trace"
    make(filesystem, image)
    _copy(image, before)
    trace.unlink(missing_ok=True)
    shown, where = _directory(scratch / "shown"), _directory(scratch / "mounted")
    with recorded(image, trace, shown) as disk:
        with mounted(filesystem, disk, where):
            words = _hear_writer(where / _LOG, mutant, trace)
        length = words[-1]
    requests = [r for r in read_trace(trace.read_bytes()) if r.end <= length]
    return Recording(filesystem, before, requests, words)


def _hear_writer(directory: Path, mutant: Mutant, trace: Path) -> list[int]:
    """Note the trace's length at every word; the writer waits meanwhile, so it is exact."""
    words: list[int] = []
    with Child(lambda voice: _write(directory, mutant, voice)) as child:
        while child.hear(SECONDS):
            if child.error:
                break
            words.append(trace.stat().st_size)
            child.let_go_on()
        child.kill()
        child.wait()
    if child.error or len(words) != BATCHES:
        raise CommandFailed(f"the writer stopped after {len(words)} batches: {child.error}")
    return words


def _write(directory: Path, mutant: Mutant, voice: Voice) -> None:
    appender = Appender(mutant.writing(DiskStorage(directory)))

    def acknowledge() -> None:
        voice.say("durable")
        voice.wait()

    for number in range(BATCHES):
        mutant.append(appender, number, acknowledge)
    appender.close()


def cut(recording: Recording, mutant: Mutant, chance: random.Random, scratch: Path) -> Finding:
    """One power cut, and what the log holds when the machine is up again."""
    ends = [0, *(request.end for request in recording.requests)]
    moment = chance.choice(chance.choice([ends, recording.words, recording.flushes]))
    survives = chance.choice(_SURVIVAL)
    image, where = scratch / "cut", _directory(scratch / "mounted")
    _copy(recording.before, image)
    _replay(recording.requests[: bisect_right(ends, moment) - 1], image, chance, survives)
    acknowledged = bisect_right(recording.words, moment)
    what = f"{recording.filesystem.name}, {survives:.0%} survived byte {moment} of the trace"
    try:
        with mounted(recording.filesystem, image, where):
            finding = _look(where / _LOG, mutant, acknowledged)
    except CommandFailed as error:
        return Finding(Outcome.SHUT_OUT, f"{what}: {error}")
    return Finding(finding.outcome, f"{what}: {finding.what}")


def _replay(requests: list[Request], image: Path, chance: random.Random, survives: float) -> None:
    """Write what was flushed, and some sectors of what was not."""
    cached: dict[int, list[bytes]] = {}
    disk = os.open(image, os.O_RDWR)
    try:
        for request in requests:
            if not request.data:
                for offset, versions in cached.items():
                    os.pwrite(disk, versions[-1], offset)
                cached.clear()
            for at in range(0, len(request.data), SECTOR):
                sector = request.data[at : at + SECTOR]
                cached.setdefault(request.offset + at, []).append(sector)
        for offset, versions in cached.items():
            if chance.random() < survives:
                os.pwrite(disk, chance.choice(versions), offset)
    finally:
        os.close(disk)


def _look(directory: Path, mutant: Mutant, acknowledged: int) -> Finding:
    """Recover, and hold the log against the words said before the cut."""
    storage = DiskStorage(directory)
    storage.prepare()
    mutant.reading(storage)
    try:
        Appender(storage).close()
        for _ in verify_log(directory):
            pass
        records = list(read_log(directory))
    except EventLogError as error:
        return Finding(Outcome.SHUT_OUT, str(error))
    return judge(records, {STREAM: acknowledged}, {STREAM: acknowledged + 1})


def cuts(filesystem: Filesystem, mutant: Mutant, seed: int) -> Iterator[Finding]:
    """One recording and its cuts after the other."""
    for number in itertools.count(seed):
        chance = random.Random(number)
        with tempfile.TemporaryDirectory(prefix="crash-power-") as scratch:
            recording = record(filesystem, mutant, Path(scratch))
            for _ in range(CUTS):
                yield cut(recording, mutant, chance, Path(scratch))


def all_cuts(mutant: Mutant, seed: int) -> Iterator[tuple[int, Finding]]:
    """The filesystems in turn, for what one of them forgives another may not; with the seeds."""
    found = [cuts(one, mutant, seed) for one in FILESYSTEMS if not one.missing]
    for number in itertools.count():
        for one in found:
            yield seed + number // CUTS, next(one)


def run(budget: Budget) -> LayerReport:
    """Cuts until the time is over, then every mutant."""
    why = why_not_here()
    if why:
        return LayerReport(layer=LAYER, seed=budget.seed, skipped=why)
    tally = Tally(LAYER, budget)
    try:
        for seed, finding in all_cuts(mutants.NONE, budget.seed):
            tally.add(seed, finding)
            if not tally.time_left:
                break
    except CommandFailed as error:
        if tally.cases:
            raise
        return LayerReport(layer=LAYER, seed=budget.seed, skipped=str(error))
    tally.hunt(MUTANTS, lambda mutant: _findings(mutant, budget.seed))
    return tally.report(
        [f"without {one.name}: {one.missing}" for one in FILESYSTEMS if one.missing]
    )


def _findings(mutant: Mutant, seed: int) -> Iterator[Finding]:
    return (finding for _, finding in itertools.islice(all_cuts(mutant, seed), MUTANT_CUTS))


def _directory(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _copy(source: Path, target: Path) -> None:
    """A copy with the holes that the source has."""
    command("cp", "--sparse=always", str(source), str(target))
