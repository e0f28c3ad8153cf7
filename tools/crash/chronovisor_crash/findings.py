"""What a case came to, and what a layer has to say in the end."""

import enum
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

FAILURES_SHOWN = 5
"""Failures that a report keeps: the first ones say it all, and a broken log has thousands."""


class Outcome(enum.Enum):
    """How a log stood after what was done to it."""

    INTACT = "exactly what was acknowledged"
    WITH_IN_FLIGHT = "and the whole batch in flight"
    REFUSED = "damage refused"
    SHUT_OUT = "refused although it was only interrupted"
    WENT_ON = "went on after a failed call"
    TOUCHED = "refused, but changed"
    LOST = "acknowledged events lost in silence"
    ALTERED = "events that nobody appended so"


SOUND = frozenset({Outcome.INTACT, Outcome.WITH_IN_FLIGHT, Outcome.REFUSED})
SILENT = frozenset({Outcome.LOST, Outcome.ALTERED})


class Finding(msgspec.Struct, frozen=True):
    """One case: what came of it, and what was done."""

    outcome: Outcome
    what: str = ""


class Failure(msgspec.Struct, frozen=True):
    """A case that must not be; `seed` repeats it as the first case of its layer."""

    seed: int
    outcome: str
    what: str


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer found. `mutants`: cases until each was caught, None for one that was not."""

    layer: str
    seed: int
    cases: int = 0
    seconds: float = 0.0
    outcomes: dict[str, int] = {}
    silent_losses: int = 0
    failures: list[Failure] = []
    mutants: dict[str, int | None] = {}
    notes: list[str] = []
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing failed and every mutant was caught."""
        return not self.failures and None not in self.mutants.values()


class Mutated(Protocol):
    """Whatever is broken on purpose."""

    @property
    def name(self) -> str:
        """What it leaves out."""


M = TypeVar("M", bound=Mutated)


class Budget(msgspec.Struct, frozen=True):
    """How long a layer may look (mutants come on top), with which chances, and whom it tells."""

    seconds: float
    seed: int
    progress: Callable[[str], None]


class Tally:
    """Counts one layer's cases, shows the progress, and makes the report."""

    def __init__(self, layer: str, budget: Budget) -> None:
        self.cases = 0
        self._layer = layer
        self._budget = budget
        self._began = time.monotonic()
        self._outcomes: Counter[Outcome] = Counter()
        self._failures: list[Failure] = []
        self._mutants: dict[str, int | None] = {}

    @property
    def time_left(self) -> bool:
        """Whether another case may begin."""
        return time.monotonic() < self._began + self._budget.seconds

    def add(self, seed: int, finding: Finding) -> None:
        """Count a case of the real log."""
        self.cases += 1
        self._outcomes[finding.outcome] += 1
        if finding.outcome not in SOUND and len(self._failures) < FAILURES_SHOWN:
            self._failures.append(Failure(seed, finding.outcome.value, finding.what))
        self._say(f"{self.cases} cases")

    def hunt(self, mutants: Sequence[M], trials: Callable[[M], Iterable[Finding]]) -> None:
        """Go through each mutant's trials until one gives it away."""
        for mutant in mutants:
            self._mutants[mutant.name] = None
            for number, finding in enumerate(trials(mutant), 1):
                self._say(f"mutant: {mutant.name}, case {number}")
                if finding.outcome not in SOUND:
                    self._mutants[mutant.name] = number
                    break

    def report(self, notes: Sequence[str] = ()) -> LayerReport:
        """What was found up to now."""
        return LayerReport(
            layer=self._layer,
            seed=self._budget.seed,
            cases=self.cases,
            seconds=round(time.monotonic() - self._began, 1),
            outcomes={one.value: self._outcomes[one] for one in Outcome if self._outcomes[one]},
            silent_losses=sum(self._outcomes[one] for one in SILENT),
            failures=self._failures,
            mutants=self._mutants,
            notes=list(notes),
        )

    def _say(self, what: str) -> None:
        self._budget.progress(f"{self._layer}: {what}")
