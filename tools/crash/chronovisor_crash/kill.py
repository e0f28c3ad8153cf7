"""Layer 3: a real writer, killed at any instant, again and again on the same log.

Several tasks append to streams of their own through `EventLog`, segments are as small as they may
be, and the parent compares what came through the pipe with what the files hold.
"""

import itertools
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import trio

from chronovisor_crash import mutants
from chronovisor_crash.child import Child, ChildHung, Voice, listen_for
from chronovisor_crash.findings import SOUND, Budget, Finding, LayerReport, Outcome, Tally
from chronovisor_crash.mutants import Appending, Mutant
from chronovisor_crash.workload import SEGMENT_BYTES, batch, judge, whole_batches
from eventlog import EventLog, EventLogError, LogOptions, open_log, read_log, verify_log
from eventlog.storage import DiskStorage, Storage

LAYER = "kill"
MUTANTS = (
    mutants.RENAME_BEFORE_HEADER,
    mutants.TIP_BEFORE_FRAME,
    mutants.EARLY_WORD,
    mutants.PIECE_BY_PIECE,
)
MUTANT_LIVES = 2000
"""A few are enough on a quiet host; beside other work the moment to kill at is often missed."""

_STREAMS = ("a", "b", "c")
_LIVES = 20
"""On one log; then a new one, as each life reads the whole log."""

_WORDS = 16
"""Most that a writer says before it is killed: some rollovers fit into it, on any machine."""

_SECONDS = 0.04
"""Longest wait after that: recovery, where nothing is waited for, or a rollover fits into it."""


class Killed:
    """One log, and what its writers said of it."""

    def __init__(self, directory: Path, mutant: Mutant, chance: random.Random) -> None:
        self._directory = directory
        self._mutant = mutant
        self._chance = chance
        self._acknowledged: dict[str, int] = {}

    def live_and_die(self) -> Finding:
        """One life, one kill, one look."""
        # A time alone would be over, on a slow machine, before the writer has written anything.
        words = self._chance.choice((0, self._chance.randint(1, _WORDS)))
        with Child(lambda voice: trio.run(_write, self._directory, self._mutant, voice)) as child:
            try:
                listen_for(child, words, self._chance.random() * _SECONDS)
            except ChildHung as hung:
                return Finding(Outcome.SHUT_OUT, str(hung))
            finally:
                child.kill()
                child.wait()
        if child.error:
            return Finding(Outcome.SHUT_OUT, child.error)
        for line in child.lines:
            stream, batches = line.split()
            self._acknowledged[stream] = int(batches)
        return self._look()

    def _look(self) -> Finding:
        begun = {stream: self._acknowledged.get(stream, 0) + 1 for stream in _STREAMS}
        try:
            for _ in verify_log(self._directory):
                pass
            records = list(read_log(self._directory))
        except EventLogError as error:
            return Finding(Outcome.SHUT_OUT, str(error))
        finding = judge(records, self._acknowledged, begun)
        # What a reader was shown must stay, whether it was acknowledged or not.
        self._acknowledged = {stream: whole_batches(records, stream) or 0 for stream in _STREAMS}
        return finding


async def _write(directory: Path, mutant: Mutant, voice: Voice) -> None:
    def storage(where: Path) -> Storage:
        return mutant.writing(DiskStorage(where))

    options = LogOptions(segment_bytes=SEGMENT_BYTES, storage=storage)
    async with open_log(directory, options) as log, trio.open_nursery() as nursery:
        records = [record async for record in log.read()]
        for stream in _STREAMS:
            nursery.start_soon(_produce, log, mutant, voice, stream, whole_batches(records, stream))


async def _produce(
    log: EventLog, mutant: Mutant, voice: Voice, stream: str, number: int | None
) -> None:
    """Append batch after batch until killed."""
    assert number is not None
    for following in itertools.count(number + 1):
        word = f"{stream} {following}"
        if mutant.appending is Appending.WORD_FIRST:
            voice.say(word)
        for events in mutant.pieces(batch(following - 1, stream)):
            await log.append(events)
        if mutant.appending is not Appending.WORD_FIRST:
            voice.say(word)


def lives(mutant: Mutant, seed: int) -> Iterator[Finding]:
    """One log after the other, each through some lives; a bad finding ends a log."""
    for log in itertools.count(seed):
        with tempfile.TemporaryDirectory(prefix="crash-kill-") as directory:
            killed = Killed(Path(directory), mutant, random.Random(log))
            for _ in range(_LIVES):
                finding = killed.live_and_die()
                yield finding
                if finding.outcome not in SOUND:
                    break


def run(budget: Budget) -> LayerReport:
    """Kills until the time is over, then every mutant."""
    tally = Tally(LAYER, budget)
    for number, finding in enumerate(lives(mutants.NONE, budget.seed)):
        tally.add(budget.seed + number // _LIVES, finding)
        if not tally.time_left:
            break
    tally.hunt(MUTANTS, lambda mutant: itertools.islice(lives(mutant, budget.seed), MUTANT_LIVES))
    return tally.report()
