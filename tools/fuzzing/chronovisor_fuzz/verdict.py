"""What a run came to: what was done, what was found, and what stayed behind."""

import re
from pathlib import Path

import msgspec

from chronovisor_fuzz.ledger import Find
from chronovisor_fuzz.watch import Health

MEMORY_MOST = 96 << 20
"""In bytes. A log's index and a heap that was once full of floods stay; a leak goes on."""
CAUSES = re.compile(
    r"Traceback \(most recent call last\)|\bincident [0-9a-f]+ in |exception was never retrieved"
)


class Leaks(msgspec.Struct, frozen=True):
    """What the daemon holds more than before, when all clients and VMs are gone."""

    descriptors: int
    threads: int
    resident: int
    """In bytes."""


class Verdict(msgspec.Struct, frozen=True):
    """Everything that was done, and what came of it."""

    seconds: float
    seed: int
    attacks: int
    outcomes: dict[str, dict[str, int]]
    finds: list[Find]
    health: Health
    leaks: Leaks
    log: str
    exit_code: int
    causes: list[str]
    """Lines of the daemon's log that tell of a bug."""

    @property
    def passed(self) -> bool:
        """Whether nothing was found, nothing leaked, and the daemon left in good order."""
        leaked = self.leaks.descriptors > 0 or self.leaks.resident > MEMORY_MOST
        bad = self.finds or self.causes or leaked or self.exit_code
        return not bad and self.log == "intact"


def causes_in(output: Path) -> list[str]:
    """Return the lines of the daemon's log that tell of what nobody expected."""
    lines = output.read_text(errors="replace").splitlines()
    return [line for line in lines if CAUSES.search(line)]


def lines(found: Verdict) -> list[str]:
    """Return the verdict for people."""
    health, leaks = found.health, found.leaks
    return [
        f"{found.attacks} attacks in {found.seconds:.0f} s, seed {found.seed}",
        *(_counted(name, counts) for name, counts in sorted(found.outcomes.items())),
        f"health: {health.checks} checks, the slowest took {health.worst_s:.2f} s; at most "
        f"{health.resident_most / 2**20:.0f} MiB and {health.descriptors_most} descriptors",
        f"left behind: {leaks.descriptors:+d} descriptors, {leaks.threads:+d} threads, "
        f"{leaks.resident / 2**20:+.1f} MiB",
        f"log: {found.log}; exit code {found.exit_code}; "
        f"lines that tell of a bug: {len(found.causes)}",
        *(f"    {line}" for line in found.causes[:20]),
        *(f"FOUND {each.attack} (seed {each.seed}): {each.what}" for each in found.finds),
        "nothing found" if found.passed else "FAILED",
    ]


def _counted(name: str, counts: dict[str, int]) -> str:
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return f"    {name}: {sum(counts.values())} ({told[:300]})"
