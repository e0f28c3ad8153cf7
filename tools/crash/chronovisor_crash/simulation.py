"""Layer 1: lives of a writer on a simulated disk that loses power anywhere, recovery included."""

import random
from collections.abc import Iterator

from chronovisor_crash import mutants
from chronovisor_crash.findings import SOUND, Budget, Finding, LayerReport, Outcome, Tally
from chronovisor_crash.mutants import Mutant
from chronovisor_crash.simulated_disk import PowerCut, SimulatedDisk
from chronovisor_crash.workload import STREAM, Appender, judge
from eventlog import EventLogError
from eventlog.offline import read_storage, verify_storage

LAYER = "simulation"
MUTANTS = (
    mutants.NO_DATA_SYNC,
    mutants.NO_DIRECTORY_SYNC,
    mutants.RENAME_BEFORE_HEADER,
    mutants.TIP_BEFORE_FRAME,
    mutants.SEAL_WITHOUT_SYNC,
    mutants.EARLY_WORD,
    mutants.PIECE_BY_PIECE,
    mutants.NO_CHAIN_CHECK,
)
MUTANT_CASES = 3000
"""Each is caught within some dozens; this many say that the layer is blind."""

_LIVES = 6
_BATCHES = 14
"""Of three events at most: two or three segments are filled in one life."""

_OPERATIONS = 110
"""What opening a log and so many batches need; a cut beyond the last one is a clean end."""

_SURVIVAL = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Odds of each unsynced piece: nothing, nearly nothing, and so on."""


class Trial:
    """One log through several lives that end anyhow."""

    def __init__(self, chance: random.Random, mutant: Mutant) -> None:
        self.disk = SimulatedDisk()
        self._chance = chance
        self._mutant = mutant
        self._acknowledged = 0
        self._begun = 0

    def run(self) -> Finding:
        """Live, crash and recover some times; the first bad finding, or that of the end."""
        ended = "clean"
        for _ in range(self._chance.randint(1, _LIVES)):
            self.disk.cut_at(self._chance.randint(1, _OPERATIONS))
            finding = self._live(self._chance.randint(0, _BATCHES), ended)
            if finding.outcome not in SOUND:
                return finding
            ended = self._crash()
        self.disk.cut_at(0)
        last = self._live(1, ended)
        return self._verified(last) if last.outcome in SOUND else last

    def _live(self, batches: int, ended: str) -> Finding:
        """Recover, look, and append; what the look found."""
        finding = Finding(Outcome.INTACT)
        try:
            self._mutant.reading(self.disk)
            appender = Appender(self._mutant.writing(self.disk))
            finding = self._look(ended)
            if finding.outcome in SOUND:
                self._append(appender, batches)
            appender.close()
        except PowerCut:
            pass
        except EventLogError as error:
            return Finding(Outcome.SHUT_OUT, f"after {ended}: {error}")
        return finding

    def _look(self, ended: str) -> Finding:
        """What recovery shows must stay from now on, whether it was acknowledged or not."""
        records = list(read_storage(self.disk))
        finding = judge(records, {STREAM: self._acknowledged}, {STREAM: self._begun})
        if finding.outcome is Outcome.INTACT:
            self._begun = self._acknowledged
        else:
            self._acknowledged = self._begun
        return Finding(finding.outcome, f"after {ended}: {finding.what}")

    def _append(self, appender: Appender, batches: int) -> None:
        for _ in range(batches):
            self._begun += 1
            self._mutant.append(appender, self._begun - 1, self._acknowledge)

    def _acknowledge(self) -> None:
        self._acknowledged = self._begun

    def _crash(self) -> str:
        if self._chance.random() < 0.3:
            self.disk.kill()
            return "a kill"
        survives = self._chance.choice(_SURVIVAL)
        self.disk.lose_power(self._chance, survives)
        return f"a power cut that {survives:.0%} survived"

    def _verified(self, last: Finding) -> Finding:
        try:
            for _ in verify_storage(self.disk):
                pass
        except EventLogError as error:
            return Finding(Outcome.SHUT_OUT, f"at the end: {error}")
        return last


def try_once(mutant: Mutant, seed: int) -> Finding:
    """The case that this seed stands for."""
    return Trial(random.Random(seed), mutant).run()


def trials(mutant: Mutant, seed: int) -> Iterator[Finding]:
    """The cases that a mutant must not get through."""
    return (try_once(mutant, seed + number) for number in range(MUTANT_CASES))


def run(budget: Budget) -> LayerReport:
    """Cases until the time is over, then every mutant."""
    tally = Tally(LAYER, budget)
    while tally.time_left:
        seed = budget.seed + tally.cases
        tally.add(seed, try_once(mutants.NONE, seed))
    tally.hunt(MUTANTS, lambda mutant: trials(mutant, budget.seed))
    return tally.report()
