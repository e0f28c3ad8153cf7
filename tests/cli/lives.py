"""Lives of VMs in a log on the disk: what commands for the past are asked about."""

from pathlib import Path

import trio

from eventlog import LogOptions, open_log
from supervisor.admission import events as admission
from supervisor.cause import Cause
from supervisor.journal import HOST_STREAM, encode, vm_stream
from supervisor.vm import events as vm
from supervisor.vm.observations import ExitEvidence, ProcessIdentity
from tests.vm.states import DIRECTORY, IMAGES, MANIFEST, NOW, SHA256

SMALL = LogOptions(segment_bytes=64 * 1024)
REQUEST = Cause("request-1", "request-1", "uid:1000")


async def tell(state_dir: Path, vm_id: str, *events: vm.Event, cause: Cause = REQUEST) -> None:
    """Append events in a life of their own, each the cause of the next."""
    async with open_log(state_dir / "log", SMALL) as log:
        for event in events:
            new = [encode(event, vm_stream(vm_id), "local", cause)]
            if isinstance(event, vm.ComputationSubmitted):
                admitted = admission.ComputationAdmitted(vm_id, f"key-{vm_id}", SHA256)
                new.insert(0, encode(admitted, HOST_STREAM, "local", cause))
            records = await log.append(new)
            cause = cause.followed_by(records[-1].event_id)


LAUNCH = vm.LaunchIntended(1, DIRECTORY, "uuid", ("qemu",), SHA256, IMAGES, "tcg", NOW)
LIFE: tuple[vm.Event, ...] = (
    vm.ComputationSubmitted(MANIFEST, SHA256),
    LAUNCH,
    vm.QemuSpawned(1, ProcessIdentity(4711, 99, "boot")),
    vm.GuestStarted(1, NOW),
    vm.StopOrdered(1, vm.Outcome.STOPPED_BY_CLIENT, vm.StopStep.QUIT, NOW),
    vm.ProcessExited(1, ExitEvidence(exit_code=0)),
    vm.VmStopped(1, vm.Outcome.STOPPED_BY_CLIENT, "stopped as ordered"),
)


def three(state_dir: Path) -> Path:
    """Positions 1 to 8: iris, stopped. 9 to 12: rose, deleted. 13, 14: lily, submitted."""
    trio.run(tell, state_dir, "iris", *LIFE)
    gone = (vm.VmFailed(0, vm.Outcome.QEMU_FAILED_TO_START, "no"), vm.VmDeleted(0))
    trio.run(tell, state_dir, "rose", LIFE[0], *gone)
    trio.run(tell, state_dir, "lily", LIFE[0])
    return state_dir / "log"
