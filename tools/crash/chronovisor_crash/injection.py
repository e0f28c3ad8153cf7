"""Layer 4: system calls that fail, write too little, or are the writer's last: by strace.

The writer has one thread, so the n-th call is the same call in every run, and every n is tried:
from opening an empty log, or one with a torn write, over rollovers to the end.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from chronovisor_crash import damage, mutants
from chronovisor_crash.child import Child, ChildHung, Voice
from chronovisor_crash.findings import Budget, Finding, LayerReport, Outcome, Tally
from chronovisor_crash.mutants import Mutant
from chronovisor_crash.tracing import Tracer, why_no_tracing
from chronovisor_crash.workload import STREAM, Appender, judge, whole_batches
from eventlog import EventLogError, read_log, verify_log
from eventlog.frame import SECTOR
from eventlog.storage import DiskStorage

LAYER = "injection"
MUTANTS = (
    mutants.ERRORS_IGNORED,
    mutants.SYNC_RETRIED,
    mutants.RENAME_BEFORE_HEADER,
    mutants.TIP_BEFORE_FRAME,
    mutants.EARLY_WORD,
    mutants.PIECE_BY_PIECE,
)
CALLS = (
    "pwrite64",
    "fdatasync",
    "fsync",
    "openat",
    "/^rename",
    "/^unlink",
    "fallocate",
    "ftruncate",
    "fchmod",
)
"""All by which a log changes its directory; a slash begins what is one call of several names."""

BATCHES = 6
"""One rollover at least."""

_TORN = b"\x01" * 200
_SHORT = 3
"""Bytes that a short write claims to have written."""


class Fault(msgspec.Struct, frozen=True):
    """What strace does to one call, in its own words."""

    name: str
    expression: str


KILL = Fault("SIGKILL", "signal=KILL")
IO_ERROR = Fault("EIO", "error=EIO")
NO_SPACE = Fault("ENOSPC", "error=ENOSPC")
SHORT = Fault("a short write", f"retval={_SHORT}")
FAULTS = (KILL, IO_ERROR, NO_SPACE)


class Point(msgspec.Struct, frozen=True):
    """Where and how a run is disturbed."""

    start: str
    call: str
    nth: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.fault.name} at {self.call.lstrip('/^')} {self.nth} from {self.start}"


def starts() -> dict[str, damage.Files]:
    """The directories that a writer finds: none yet, or one whose last frame lost a sector."""
    torn = damage.sound_log()
    last = max(name for name in torn if name.endswith(".log"))
    end = len(torn[last].rstrip(b"\0"))
    next_sector = end - end % -SECTOR
    rest = next_sector + len(_TORN)
    torn[last] = torn[last][:next_sector] + _TORN + torn[last][rest:]
    return {"an empty directory": {}, "a torn log": torn}


def _live(directory: Path, mutant: Mutant, voice: Voice) -> None:
    voice.wait()
    appender = Appender(mutant.writing(DiskStorage(directory)))
    done = whole_batches(list(read_log(directory)))
    assert done is not None
    for number in range(done, done + BATCHES):
        mutant.append(appender, number, partial(voice.say, str(number + 1)))
    appender.close()


class Run:
    """One writer under strace, in a directory of its own."""

    def __init__(self, files: damage.Files, mutant: Mutant) -> None:
        self._files = files
        self._mutant = mutant
        self._acknowledged = damage.BATCHES if files else 0

    def disturbed(self, point: Point) -> Finding:
        """Run into the fault, then recover; what was found."""
        with tempfile.TemporaryDirectory(prefix="crash-inject-") as name:
            directory = Path(name)
            self._lay_out(directory)
            injection = f"inject={point.call}:{point.fault.expression}:when={point.nth}"
            try:
                status = self._trace(directory, injection)[0]
            except ChildHung as error:
                return Finding(Outcome.SHUT_OUT, f"{point}: {error}")
            if point.fault is IO_ERROR and status == 0:
                return Finding(Outcome.WENT_ON, str(point))
            found = self._look(directory)
            return Finding(found.outcome, f"{point}: {found.what}")

    def calls(self) -> Counter[str]:
        """How many calls of each kind an undisturbed run makes."""
        with tempfile.TemporaryDirectory(prefix="crash-inject-") as name:
            self._lay_out(Path(name))
            status, trace = self._trace(Path(name), f"trace={','.join(CALLS)}")
        assert status == 0, trace
        return Counter(
            call for line in trace for call in CALLS if line.startswith(call.lstrip("/^"))
        )

    def _lay_out(self, directory: Path) -> None:
        for name, data in self._files.items():
            (directory / name).write_bytes(data)

    def _trace(self, directory: Path, expression: str) -> tuple[int, list[str]]:
        """The writer's exit status and strace's lines."""
        with Child(lambda voice: _live(directory, self._mutant, voice)) as child:
            with Tracer(child.pid, expression) as tracer:
                child.let_go_on()
                child.hear_out()
                status = child.wait()
            words = [line for line in child.lines if line != child.error]
            self._acknowledged = max([self._acknowledged, *map(int, words)])
            return status, tracer.lines

    def _look(self, directory: Path) -> Finding:
        begun = {STREAM: self._acknowledged + 1}
        try:
            Appender(DiskStorage(directory)).close()
            for _ in verify_log(directory):
                pass
            records = list(read_log(directory))
        except (EventLogError, OSError) as error:
            return Finding(Outcome.SHUT_OUT, str(error))
        return judge(records, {STREAM: self._acknowledged}, begun)


def points(seed: int) -> list[Point]:
    """Every call of both starts with every fault, in an order of chance."""
    every = [
        Point(start, call, nth, fault)
        for start, files in starts().items()
        for call, count in Run(files, mutants.NONE).calls().items()
        for nth in range(1, count + 1)
        for fault in (*FAULTS, *([SHORT] if call == "pwrite64" else []))
    ]
    random.Random(seed).shuffle(every)
    return every


def disturb(mutant: Mutant, every: list[Point]) -> Iterator[Finding]:
    """One run for each point."""
    files = starts()
    return (Run(files[point.start], mutant).disturbed(point) for point in every)


def run(budget: Budget) -> LayerReport:
    """As many points as the time allows, each once; then the mutants."""
    why = why_no_tracing()
    if why:
        return LayerReport(layer=LAYER, seed=budget.seed, skipped=why)
    tally = Tally(LAYER, budget)
    every = points(budget.seed)
    for finding in disturb(mutants.NONE, every):
        tally.add(budget.seed, finding)
        if not tally.time_left:
            break
    tally.hunt(MUTANTS, lambda mutant: disturb(mutant, every))
    return tally.report()
