"""What was done, what came of it, and what was found: counts and a bounded list."""

from collections import Counter, defaultdict

import msgspec

FINDS = 200
"""As many are told; one fault can show itself in every attack of a run."""


class Find(msgspec.Struct, frozen=True):
    """Something that must not be; the attack's seed makes it again."""

    attack: str
    seed: str
    what: str


class Ledger:
    """One run's counts."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.finds: list[Find] = []

    @property
    def attacks(self) -> int:
        """How many were made."""
        return sum(counts.total() for counts in self.outcomes.values())

    def came_of(self, attack: str, outcome: str, times: int = 1) -> None:
        """Count an outcome."""
        self.outcomes[attack][outcome] += times

    def found(self, attack: str, seed: str, what: str) -> None:
        """Write down a find, once for each attack and wording."""
        self.came_of(attack, "FOUND")
        known = any((each.attack, each.what) == (attack, what) for each in self.finds)
        if not known and len(self.finds) < FINDS:
            self.finds.append(Find(attack, seed, what))
