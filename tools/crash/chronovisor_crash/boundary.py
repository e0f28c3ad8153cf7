"""The instants of a computation at which a daemon may die, and the fault plan that makes it so."""

import enum
import random
import re
from collections.abc import Sequence

import msgspec

from supervisor.faults.plan import AppendMoment, EffectMoment
from supervisor.faults.seams import MET

_MET = re.compile(rf"{re.escape(MET)} (.*)")


class Kind(enum.Enum):
    """Between which two steps of the law the daemon dies: decide, append, answer, effects."""

    BEFORE_WRITE = "before the write of an append"
    AFTER_WRITE = "after the write, before the fsync"
    AFTER_FSYNC = "after the fsync, before the answer"
    AFTER_ANSWER = "after the answer of an append"
    BEFORE_EFFECT = "before an effect"
    AFTER_EFFECT = "after an effect"


OF_APPENDS = {
    Kind.BEFORE_WRITE: AppendMoment.BEFORE_WRITE,
    Kind.AFTER_WRITE: AppendMoment.AFTER_WRITE,
    Kind.AFTER_FSYNC: AppendMoment.AFTER_FSYNC,
    Kind.AFTER_ANSWER: AppendMoment.AFTER_ANSWER,
}
OF_EFFECTS = {Kind.BEFORE_EFFECT: EffectMoment.BEFORE, Kind.AFTER_EFFECT: EffectMoment.AFTER}


class Boundary(msgspec.Struct, frozen=True):
    """One instant: the ``nth`` append, or the ``nth`` effect of that name."""

    kind: Kind
    nth: int
    effect: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.effect or 'append'} {self.nth}"

    @property
    def plan(self) -> str:
        """The fault plan under which the daemon dies there."""
        if self.kind in OF_APPENDS:
            moment = OF_APPENDS[self.kind].value
            return f'[[kill_daemon_at_append]]\nat = "{moment}"\nnth = {self.nth}\n'
        return (
            f'[[kill_daemon_at_effect]]\nat = "{OF_EFFECTS[self.kind].value}"\n'
            f'effect = "{self.effect}"\nnth = {self.nth}\n'
        )


NEVER = Boundary(Kind.BEFORE_WRITE, 1_000_000)
"""What no computation reaches: under its plan a daemon only counts."""


class Met(msgspec.Struct, frozen=True):
    """How many appends, and effects of each name, a whole computation has."""

    appends: int
    effects: dict[str, int]

    def boundaries(self) -> list[Boundary]:
        """Return every instant at which the daemon may die."""
        of_appends = [
            Boundary(kind, nth) for nth in range(1, self.appends + 1) for kind in OF_APPENDS
        ]
        of_effects = [
            Boundary(kind, nth, name)
            for name, count in self.effects.items()
            for nth in range(1, count + 1)
            for kind in OF_EFFECTS
        ]
        return of_appends + of_effects


def parse_met(stderr: str) -> Met:
    """Return what a daemon under a fault plan counted, from its last words."""
    found = _MET.search(stderr)
    if found is None:
        raise ValueError(f"the daemon counted nothing: {stderr[-1000:]}")
    counts = {name: int(count) for name, _, count in map(_halves, found[1].split())}
    return Met(counts.pop("appends"), counts)


def _halves(word: str) -> tuple[str, str, str]:
    return word.partition("=")


def sample(boundaries: Sequence[Boundary], every: int, seed: int) -> list[Boundary]:
    """Return one of ``every`` boundaries, in an order and of a choice that the seed decides."""
    shuffled = list(boundaries)
    random.Random(seed).shuffle(shuffled)
    return shuffled[::every]
