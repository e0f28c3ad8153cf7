"""Many seeds, on one core or on several, and what they come to together."""

import gc
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context

import msgspec

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.trial import Finding, try_seed
from tests.simulation.universe import Met

CHUNK = 25
"""Seeds that a worker takes at a time: about a second, so that a campaign ends in time."""

FAILURES_KEPT = 5
MUTANT_SEEDS = 300
"""Each mutant is caught within some dozens; this many say that the simulation is blind."""

Progress = Callable[["Tally"], None]


class Failure(msgspec.Struct, frozen=True):
    """A seed that breaks an invariant."""

    seed: int
    invariant: str
    what: str


class Tally:
    """What was tried up to now."""

    def __init__(self) -> None:
        self.seeds = self.steps = self.crashes = self.lives = 0
        self.failures: list[Failure] = []
        self.met: Counter[Met] = Counter()
        self.ignored: Counter[Met] = Counter()
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def add(self, finding: Finding) -> None:
        """Count a seed."""
        self.seeds += 1
        self.steps += finding.steps
        self.crashes += finding.crashes
        self.lives += finding.lives
        self.met += finding.met
        self.ignored += finding.ignored
        if finding.invariant and len(self.failures) < FAILURES_KEPT:
            self.failures.append(Failure(finding.seed, finding.invariant, finding.what))


class Goal(msgspec.Struct, frozen=True):
    """When a campaign is over: at so many steps and seeds, or when the time is."""

    steps: int
    seeds: int
    seconds: float = float("inf")

    def is_reached(self, tally: Tally) -> bool:
        """Whether no further seed is needed."""
        enough = tally.steps >= self.steps and tally.seeds >= self.seeds
        return enough or tally.seconds >= self.seconds or len(tally.failures) >= FAILURES_KEPT


def run(tally: Tally, goal: Goal, first: int, jobs: int, progress: Progress) -> None:
    """Try seeds from ``first`` on until the goal is reached."""
    for finding in _findings(first, jobs, lambda: goal.is_reached(tally)):
        tally.add(finding)
        progress(tally)


def _findings(first: int, jobs: int, is_over: Callable[[], bool]) -> Iterator[Finding]:
    if jobs == 1:
        while not is_over():
            yield from _try_chunk(first)
            first += CHUNK
        return
    # Ctrl-C is the parent's to answer; it goes to the whole group.
    ignored = (signal.SIGINT, signal.SIG_IGN)
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, signal.signal, ignored) as pool:
        pending: set[Future[list[Finding]]] = set()
        while not is_over():
            while len(pending) < 2 * jobs:
                pending.add(pool.submit(_try_chunk, first))
                first += CHUNK
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for each in done:
                yield from each.result()
        pool.shutdown(cancel_futures=True)


def _try_chunk(first: int) -> list[Finding]:
    with quiet():
        findings = [try_seed(seed) for seed in range(first, first + CHUNK)]
    gc.collect()
    return findings


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what costs time and says nothing here: tracebacks of actors that are to crash."""
    logger = logging.getLogger("supervisor")
    told, collected = logger.level, gc.isenabled()
    logger.setLevel(logging.CRITICAL + 1)
    # Whole object graphs die with each seed; looking for them among the living is a fifth of it.
    gc.disable()
    try:
        yield
    finally:
        logger.setLevel(told)
        if collected:
            gc.enable()


def hunt(mutant: Mutant) -> Finding | None:
    """Return the first seed that a mutant is caught by, if one is."""
    with quiet():
        for seed in range(MUTANT_SEEDS):
            finding = try_seed(seed, mutant)
            if finding.invariant:
                gc.collect()
                return finding
    return None


def hunt_all() -> Iterator[tuple[Mutant, Finding | None]]:
    """Hunt every mutant."""
    return ((mutant, hunt(mutant)) for mutant in MUTANTS)
