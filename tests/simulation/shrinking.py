"""A failing seed made short: actions are left out as long as the same invariant breaks."""

from tests.simulation.mutants import NONE, Mutant
from tests.simulation.trial import Finding, try_seed
from tests.simulation.weather import ACTIONS

TRIES_MAX = 150
"""Of some 50 ms each; what is left then is short enough."""


def shrink(finding: Finding, mutant: Mutant = NONE) -> frozenset[int]:
    """Return the actions that a failure does not need."""
    skipped: frozenset[int] = frozenset()
    size, tries = ACTIONS // 2, 0
    while size and tries < TRIES_MAX:
        for first in range(0, ACTIONS, size):
            more = skipped | set(range(first, first + size))
            if more == skipped or tries >= TRIES_MAX:
                continue
            tries += 1
            if try_seed(finding.seed, mutant, skipped=more).invariant == finding.invariant:
                skipped = more
        size //= 2
    return skipped


def minimal_trace(finding: Finding, mutant: Mutant = NONE) -> list[str]:
    """Return what happens in the shortest case that was found, line by line."""
    lines: list[str] = []
    try_seed(finding.seed, mutant, skipped=shrink(finding, mutant), trace=lines.append)
    return lines
