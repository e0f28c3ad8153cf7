"""Logs with a long history, written through the event log's own writer in large batches."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import trio

from eventlog import LogOptions, NewEvent, open_log
from supervisor.admission.events import ComputationAdmitted
from supervisor.cause import Cause
from supervisor.journal import HOST_STREAM, encode, vm_stream
from supervisor.schema import AnyEvent
from supervisor.snapshots import Snapshots
from supervisor.vm import events as vm
from supervisor.vm.observations import ExitEvidence, Image, LaunchImages, ProcessIdentity
from supervisor.vm.spec import Algorithm, Manifest

BATCH_EVENTS = 1000
"""In one append: some 400 KiB, below what one frame takes."""

TENANT = "local"
SHA256 = "ab" * 32
CAUSE = Cause("", "", "uid:0")
AT_MS = 1_700_000_000_000

_IMAGE = Image("/images/reference", SHA256, 1, "reference")
_IMAGES = LaunchImages(_IMAGE, _IMAGE, _IMAGE, (_IMAGE,), _IMAGE)


class Shape(msgspec.Struct, frozen=True):
    """How many events of how many VMs, of which the last few live."""

    events: int
    vms: int
    live: int


def write_history(state_dir: Path, shape: Shape, *, only_live: bool) -> int:
    """Write the log of a daemon's state directory; return how many events it holds."""
    state_dir.mkdir(mode=0o700)
    first = shape.vms - shape.live if only_live else 0
    return trio.run(_write, state_dir / "log", shape, first)


def write_snapshot_of(state_dir: Path) -> None:
    """Do what a daemon does at a clean stop."""
    snapshots = Snapshots(state_dir / "log", state_dir / "snapshot")
    snapshots.fold()
    snapshots.write()


async def _write(log: Path, shape: Shape, first: int) -> int:
    async with open_log(log, LogOptions(node_id="bench")) as writer:
        batch: list[NewEvent] = []
        for number in range(first, shape.vms):
            batch += _life(number, shape)
            if len(batch) >= BATCH_EVENTS:
                await writer.append(batch)
                batch = []
        await writer.append(batch)
        return writer.head


def _life(number: int, shape: Shape) -> Iterator[NewEvent]:
    vm_id = f"vm-{number:08}"
    lives = number >= shape.vms - shape.live
    submitted = vm.ComputationSubmitted(Manifest(vm_id, Algorithm(SHA256)), SHA256)
    admitted = ComputationAdmitted(vm_id, f"key-{number}", SHA256)
    yield encode(admitted, HOST_STREAM, TENANT, CAUSE)
    yield encode(submitted, vm_stream(vm_id), TENANT, CAUSE)
    # What is left is progress, so that the whole log has as many events as it should.
    fixed = len(_EVENTS) + (0 if lives else len(_DELETION)) + 2
    reports = max(0, shape.events // shape.vms - fixed)
    for event in (*_BEFORE, *[_PROGRESS] * reports, *_AFTER, *(() if lives else _DELETION)):
        yield encode(event, vm_stream(vm_id), TENANT, CAUSE)


_BEFORE: tuple[AnyEvent, ...] = (
    vm.LaunchIntended(
        1, "/state/vms/x/launch-1", "uuid", ("qemu", "-S"), SHA256, _IMAGES, "tcg", AT_MS
    ),
    vm.QemuSpawned(1, ProcessIdentity(4711, 99, "boot")),
    vm.QmpReady(1, "7.2.0"),
    vm.GuestStarted(1, AT_MS),
    vm.AgentReady(1),
    vm.ComputationStarted(1),
)
_PROGRESS = vm.ProgressReported(1, 0.5, "half of the rows are read")
_AFTER: tuple[AnyEvent, ...] = (
    vm.ComputationFinished(1, 0, 2048, "", ""),
    vm.StopOrdered(1, vm.Outcome.COMPLETED, vm.StopStep.QUIT, AT_MS),
    vm.ProcessExited(1, ExitEvidence(exit_code=0)),
    vm.ResultRecorded(1, SHA256, 2048, 0),
    vm.VmStopped(1, vm.Outcome.COMPLETED, "the computation finished, with exit code 0"),
)
_EVENTS = (*_BEFORE, *_AFTER)
_DELETION: tuple[AnyEvent, ...] = (vm.DeleteOrdered(1), vm.VmDeleted(1))
