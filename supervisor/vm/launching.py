"""From a submitted computation to an intent to launch, which is durable before anything starts."""

import hashlib

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decision import Decision
from supervisor.vm.qemu_argv import launch_uuid, qemu_argv
from supervisor.vm.state import VmState


def prepare(state: VmState) -> fx.PrepareLaunch:
    """Return the order to make the files of the next launch."""
    return fx.PrepareLaunch(state.launch_number + 1, state.manifest)


def intend(state: VmState, prepared: ob.LaunchPrepared, now_ms: int) -> Decision:
    """Record exactly what will be run, then run it."""
    argv = qemu_argv(
        state.manifest,
        vm_id=state.vm_id,
        launch=prepared.launch,
        directory=prepared.directory,
        images=prepared.images,
        accel=prepared.accel,
    )
    intent = ev.LaunchIntended(
        launch=prepared.launch,
        directory=prepared.directory,
        uuid=launch_uuid(state.vm_id, prepared.launch),
        argv=argv,
        argv_sha256=hashlib.sha256(b"\0".join(part.encode() for part in argv)).hexdigest(),
        images=prepared.images,
        accel=prepared.accel,
        deadline_ms=now_ms + state.manifest.limits.launch_deadline_ms,
    )
    return Decision((intent,), (_spawn(intent, state.manifest.limits.log_bytes), _timer(intent)))


def _spawn(intent: ev.LaunchIntended, log_bytes: int) -> fx.SpawnQemu:
    return fx.SpawnQemu(intent.launch, intent.directory, intent.argv, intent.uuid, log_bytes)


def _timer(intent: ev.LaunchIntended) -> fx.ArmTimer:
    return fx.ArmTimer(intent.launch, ob.TimerKind.LAUNCH, intent.deadline_ms)
