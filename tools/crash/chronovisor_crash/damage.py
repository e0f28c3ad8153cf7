"""Layer 2: a small log damaged in every way there is, one way at a time.

Every length that a file can be cut to, every bit flipped, every block zeroed, every file gone. The
log must refuse, and change nothing; or give back exactly what was acknowledged.
"""

from collections.abc import Callable, Iterator

from chronovisor_crash import mutants
from chronovisor_crash.findings import Budget, Finding, LayerReport, Outcome, Tally
from chronovisor_crash.mutants import Mutant
from chronovisor_crash.simulated_disk import SimulatedDisk
from chronovisor_crash.workload import NOW, STREAM, Appender, batch, judge, silently
from eventlog import EventLogError
from eventlog.frame import SECTOR
from eventlog.offline import read_storage
from eventlog.recovery import recover
from eventlog.segment import TIP_NAME

LAYER = "damage"
MUTANTS = (mutants.NO_CHAIN_CHECK, mutants.CUT_ANYTHING, mutants.NO_TIP_CHECK)
BLOCK = 4096
BATCHES = 7
"""Two full segments by rollover, a third by a second life; all of their kinds of frames."""

Files = dict[str, bytes]
Damage = tuple[str, Files]
_QUIET = 64
"""Zeros on either side of a place where one flipped bit stands for all eight."""


def truncations(files: Files) -> Iterator[Damage]:
    """Every segment cut to every length."""
    for name in _segments(files):
        for size in range(len(files[name])):
            yield f"{name} cut to {size}", {**files, name: files[name][:size]}


def flips(files: Files) -> Iterator[Damage]:
    """Every bit of every segment and of the tip."""
    for name in [*_segments(files), TIP_NAME]:
        data = files[name]
        for at in range(len(data)):
            # Far in the unused tail every bit is like every other.
            for bit in range(8) if any(data[max(0, at - _QUIET) : at + _QUIET]) else [at % 8]:
                damaged = bytearray(data)
                damaged[at] ^= 1 << bit
                yield f"{name} bit {at}.{bit}", {**files, name: bytes(damaged)}


def zeroed_sectors(files: Files) -> Iterator[Damage]:
    """Every 512 bytes zeroed."""
    return _zeroed(files, SECTOR)


def zeroed_blocks(files: Files) -> Iterator[Damage]:
    """Every 4096 bytes zeroed."""
    return _zeroed(files, BLOCK)


def removals(files: Files) -> Iterator[Damage]:
    """Every segment gone."""
    for name in _segments(files):
        yield f"without {name}", {other: data for other, data in files.items() if other != name}


KINDS: tuple[Callable[[Files], Iterator[Damage]], ...] = (
    removals,
    zeroed_blocks,
    zeroed_sectors,
    truncations,
    flips,
)


def _zeroed(files: Files, block: int) -> Iterator[Damage]:
    for name in _segments(files):
        for at in range(0, len(files[name]), block):
            damaged = bytearray(files[name])
            damaged[at : at + block] = bytes(len(damaged[at : at + block]))
            yield f"{name} zeroed at {at}", {**files, name: bytes(damaged)}


def _segments(files: Files) -> list[str]:
    return sorted(name for name in files if name.endswith(".log"))


def sound_log() -> Files:
    """Two lives of a writer, the last segment open."""
    disk = SimulatedDisk()
    for numbers in (range(BATCHES - 2), range(BATCHES - 2, BATCHES)):
        appender = Appender(disk)
        for number in numbers:
            appender.append(batch(number), silently)
        appender.close()
    return disk.snapshot()


def examine(mutant: Mutant, damaged: Files, what: str) -> Finding:
    """Recover a damaged log and look at what is left."""
    disk = SimulatedDisk(damaged)
    mutant.reading(disk)
    before = disk.snapshot()
    try:
        recover(disk, NOW)
        finding = judge(list(read_storage(disk)), {STREAM: BATCHES}, {STREAM: BATCHES})
    except EventLogError:
        untouched = disk.snapshot() == before
        return Finding(Outcome.REFUSED if untouched else Outcome.TOUCHED, what)
    return Finding(finding.outcome, f"{what}: {finding.what}")


def damages(files: Files) -> Iterator[Damage]:
    """All kinds, the shortest first."""
    return (damage for kind in KINDS for damage in kind(files))


def run(budget: Budget) -> LayerReport:
    """Every damage once, whatever the budget's time and seed."""
    tally = Tally(LAYER, budget)
    files = sound_log()
    for what, damaged in damages(files):
        tally.add(budget.seed, examine(mutants.NONE, damaged, what))
    tally.hunt(
        MUTANTS,
        lambda mutant: (examine(mutant, damaged, what) for what, damaged in damages(files)),
    )
    return tally.report()
