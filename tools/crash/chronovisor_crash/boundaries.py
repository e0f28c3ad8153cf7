"""The daemon is killed at every boundary of one whole computation, with a real QEMU and guest.

One computation runs undisturbed and counts the boundaries. Then each is tried in a state directory
of its own: the daemon dies there, the next one takes over, and the client goes on as if nothing had
been. In the end exactly one QEMU ran per launch, the result is right, nothing that was acknowledged
is missing, the log is sound and nothing is left over.
"""

import enum
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from chronovisor_api import v1

from chronovisor_crash.boundary import NEVER, Boundary, Kind, Met, parse_met, sample
from chronovisor_crash.client import PATIENCE_S, STDOUT, VM_ID, Client, Told
from chronovisor_crash.scene import DaemonHung, Scene, leave
from eventlog import EventLogError, Record, read_log, verify_log
from supervisor.cannot_serve import CannotServe
from supervisor.cli.exits import Failure
from supervisor.replay import replay
from supervisor.schema import SCHEMA
from supervisor.vm import events as ev

SETTLE_S = 0.2
"""Ten times what a daemon must be quiet for before an answer counts as given."""
POLL_S = 0.02
"""How late a death of the daemon may be seen."""


class Outcome(enum.Enum):
    """What came of one kill."""

    SOUND = "as if nothing had been"
    NOT_MET = "the computation ended before it"
    DOUBLE = "a launch with two QEMUs, or one that no intent names"
    WRONG = "a wrong result"
    FORGOTTEN = "something acknowledged is missing"
    DAMAGED = "the log is not sound"
    LEFT_OVER = "something is left over"
    STUCK = "it did not end"


class Finding(msgspec.Struct, frozen=True):
    """One boundary, tried: what came of it, and the evidence where it is not sound."""

    boundary: str
    kind: Kind
    outcome: Outcome
    what: str = ""


class Report(msgspec.Struct, frozen=True):
    """A whole campaign; ``boundaries`` is how many there are, of which ``findings`` were tried."""

    seed: int
    every: int
    boundaries: int
    appends: int
    effects: dict[str, int]
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every kill was survived, and some were met."""
        outcomes = {finding.outcome for finding in self.findings}
        return Outcome.SOUND in outcomes and outcomes <= {Outcome.SOUND, Outcome.NOT_MET}

    def table(self) -> dict[Kind, Counter[Outcome]]:
        """Return how often each kind of boundary came to what."""
        return {
            kind: Counter(each.outcome for each in self.findings if each.kind is kind)
            for kind in Kind
        }


class Unsound(Exception):
    """One check failed."""

    def __init__(self, outcome: Outcome, what: str) -> None:
        super().__init__(what)
        self.outcome = outcome


class Campaign:
    """All kills of one run; ``progress`` is told after each."""

    def __init__(self, catalogue: Path, progress: Callable[[str], None]) -> None:
        self._catalogue = catalogue
        self._progress = progress
        self._usual_files: set[str] = set()

    def run(self, *, every: int, seed: int, jobs: int) -> Report:
        """Count the boundaries, then try one of ``every``. Raises Unsound if none of it works."""
        began = time.monotonic()
        self._progress("counting the boundaries")
        met = self._count()
        boundaries = met.boundaries()
        chosen = sample(boundaries, every, seed)
        with ThreadPoolExecutor(jobs) as pool:
            tries = [pool.submit(self.try_boundary, boundary) for boundary in chosen]
            for done, _ in enumerate(as_completed(tries), 1):
                self._progress(f"{done} of {len(tries)} kills")
        return Report(
            seed=seed,
            every=every,
            boundaries=len(boundaries),
            appends=met.appends,
            effects=met.effects,
            seconds=round(time.monotonic() - began, 1),
            findings=tuple(each.result() for each in tries),
        )

    def _count(self) -> Met:
        with self._scene() as scene:
            told, _ = _live(scene, NEVER)
            _judge(scene, told)
            self._usual_files = scene.files()
            return parse_met(scene.said)

    def try_boundary(self, boundary: Boundary) -> Finding:
        """Kill the daemon there, let the next one go on, and look at what there is."""
        name = str(boundary)
        try:
            with self._scene() as scene:
                told, killed = _live(scene, boundary)
                _judge(scene, told)
                self._check_files(scene)
        except Unsound as found:
            return Finding(name, boundary.kind, found.outcome, str(found))
        except (Failure, DaemonHung) as error:
            return Finding(name, boundary.kind, Outcome.STUCK, str(error))
        return Finding(name, boundary.kind, Outcome.SOUND if killed else Outcome.NOT_MET)

    @contextmanager
    def _scene(self) -> Iterator[Scene]:
        with tempfile.TemporaryDirectory(prefix="cvb-") as directory:
            scene = Scene(Path(directory), self._catalogue)
            try:
                yield scene
            finally:
                scene.kill_qemus()

    def _check_files(self, scene: Scene) -> None:
        if more := scene.files() - self._usual_files:
            raise Unsound(Outcome.LEFT_OVER, f"files: {', '.join(sorted(more))}")


class _Client(threading.Thread):
    """The client in a thread of its own; what it could not do is raised by :meth:`finish`."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._client = Client(scene.access)
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._client.run()
        except Exception as error:
            self._error = error
        finally:
            self.ended.set()

    def finish(self) -> Told:
        """Return what it was told, once it is done."""
        self.join(PATIENCE_S)
        if self.is_alive():
            raise DaemonHung(f"the computation did not end within {PATIENCE_S:g} s")
        if self._error is not None:
            raise self._error
        return self._client.told


def _live(scene: Scene, boundary: Boundary) -> tuple[Told, bool]:
    """Run the computation under a boundary's plan; return what was told, and whether it struck."""
    client = _Client(scene)
    with scene.daemon(boundary.plan) as doomed:
        client.start()
        give_up = time.monotonic() + PATIENCE_S
        while doomed.poll() is None and not client.ended.wait(POLL_S):
            if time.monotonic() > give_up:
                raise DaemonHung(f"neither a kill nor an end within {PATIENCE_S:g} s")
        with suppress(subprocess.TimeoutExpired):
            doomed.wait(SETTLE_S)  # what the client heard last may be the boundary
        status = leave(doomed) if doomed.poll() is None else doomed.returncode
    if status == 0:
        return client.finish(), False
    with scene.daemon() as heir:
        told = client.finish()
        if leave(heir) != 0:
            raise DaemonHung(f"the daemon after the kill failed: {scene.said[-1000:]}")
    return told, True


def _judge(scene: Scene, told: Told) -> None:
    """Raise Unsound for whatever is not as if nothing had been."""
    records = _read(scene)
    _check_result(told)
    _check_told(records, told)
    _check_qemus(scene, records)


def _read(scene: Scene) -> list[Record]:
    directory = scene.access.log_directory
    try:
        for _ in verify_log(directory):
            pass
        records = list(read_log(directory))
        world = replay(records)
    except (EventLogError, CannotServe) as error:
        raise Unsound(Outcome.DAMAGED, str(error)) from error
    if world.unavailable or world.host or world.vms:
        raise Unsound(Outcome.DAMAGED, f"it folds to {world.unavailable or world.host}")
    return records


def _check_result(told: Told) -> None:
    if told.outcome is not v1.Outcome.COMPLETED:
        raise Unsound(Outcome.WRONG, f"it ended as {told.outcome.name}: {told.detail}")
    if told.stdout != STDOUT:
        raise Unsound(Outcome.WRONG, f"the result is {told.stdout!r:.200}")


def _check_told(records: Sequence[Record], told: Told) -> None:
    held = {record.position: record.event_id for record in records}
    for position, event_id in told.events.items():
        if held.get(position) != event_id:
            raise Unsound(Outcome.FORGOTTEN, f"the event at position {position}")
    streams = {record.stream for record in records}
    for stream in (f"artifact/{told.artifact}", f"vm/{VM_ID}"):
        if stream not in streams:
            raise Unsound(Outcome.FORGOTTEN, stream)


def _check_qemus(scene: Scene, records: Sequence[Record]) -> None:
    events = [SCHEMA.decode(record) for record in records]
    intended = {event.uuid for event in events if isinstance(event, ev.LaunchIntended)}
    started = scene.started_qemus()
    strangers = started.keys() - intended
    twice = [uuid for uuid, count in started.items() if count > 1]
    if strangers or twice or not started:
        raise Unsound(Outcome.DOUBLE, f"started {dict(started)}, intended {intended}")
    if living := scene.living_qemus():
        raise Unsound(Outcome.LEFT_OVER, f"QEMU processes {living}")
