"""How far a build is, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One step of a build: `done` of `total` steps of this `stage` are behind us."""

    stage: str
    done: int
    total: int


Report = Callable[[Progress], None]
