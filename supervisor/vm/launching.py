"""From a submitted computation to an intent to launch, which is durable before anything starts."""

import hashlib

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.bounds import bounds
from supervisor.vm.claims import why_unfit
from supervisor.vm.confidential import GuestSession, Sev, Verification
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.ending import finish, release
from supervisor.vm.network_rules import whole_network
from supervisor.vm.qemu_argv import launch_uuid, qemu_argv
from supervisor.vm.spec import Manifest
from supervisor.vm.state import WAITING, Phase, VmState

BeforeLaunch = (
    ob.Queued | ob.Reserved | ob.ReservationRefused | ob.LaunchPrepared | ob.LaunchImpossible
)
"""What is observed of the launch that is to come."""


def begin_launch(state: VmState) -> tuple[fx.Effect, ...]:
    """Return what begins the next launch: the one before is let go of, and a turn is waited for."""
    ticket = state.ticket if state.phase is Phase.QUEUED else None
    turn = fx.Reserve(state.next_launch, whole_network(state.manifest), ticket)
    return (*release(state), turn)


def before_launch(state: VmState, seen: BeforeLaunch, now_ms: int) -> Decision:
    """Return what follows from an observation about the launch that is to come."""
    if state.phase not in WAITING:
        return let_go(seen) if isinstance(seen, ob.LaunchPrepared) else NOTHING
    match seen:
        case ob.Queued():
            known = state.phase is Phase.QUEUED
            return NOTHING if known else Decision((ev.Queued(seen.launch, seen.ticket),))
        case ob.Reserved():
            order = fx.PrepareLaunch(
                seen.launch, state.inputs_ready, seen.host_ports, state.digest, state.session
            )
            return Decision(effects=(order,))
        case ob.LaunchPrepared():
            return intend(state, seen, now_ms)
        case ob.ReservationRefused() | ob.LaunchImpossible():
            return finish(state, ev.Outcome.QEMU_FAILED_TO_START, seen.detail, now_ms)


def let_go(prepared: ob.LaunchPrepared) -> Decision:
    """Clear away files that nobody waits for any more: the VM was stopped while they were made."""
    return Decision(effects=(fx.ReleaseLaunch(prepared.launch, prepared.directory),))


def intend(state: VmState, prepared: ob.LaunchPrepared, now_ms: int) -> Decision:
    """Record exactly what will be run, then run it."""
    session = _session(state, prepared)
    if problem := why_unfit(state.manifest.confidential, prepared, session):
        ended = finish(state, problem.outcome, problem.detail, now_ms)
        return Decision(ended.events, (*let_go(prepared).effects, *ended.effects))
    intent = _intent(state, prepared, session, now_ms)
    spawn = _spawn(intent, state.manifest, session)
    return Decision((intent,), (spawn, _timer(intent)))


def _session(state: VmState, prepared: ob.LaunchPrepared) -> GuestSession | None:
    wanted = state.manifest.confidential
    if isinstance(wanted, Sev) and wanted.verification is Verification.TRUSTED_HOST:
        return prepared.session
    return state.session


def _intent(
    state: VmState, prepared: ob.LaunchPrepared, session: GuestSession | None, now_ms: int
) -> ev.LaunchIntended:
    argv = qemu_argv(
        state.manifest,
        vm_id=state.vm_id,
        launch=prepared.launch,
        directory=prepared.directory,
        images=prepared.images,
        accel=prepared.accel,
        host_ports=prepared.host_ports,
        platform=prepared.platform,
        manifest_digest=state.digest,
    )
    return ev.LaunchIntended(
        launch=prepared.launch,
        directory=prepared.directory,
        uuid=launch_uuid(state.vm_id, prepared.launch),
        argv=argv,
        argv_sha256=hashlib.sha256(b"\0".join(part.encode() for part in argv)).hexdigest(),
        images=prepared.images,
        accel=prepared.accel,
        deadline_ms=now_ms + state.manifest.limits.launch_deadline_ms,
        host_ports=prepared.host_ports,
        claims=prepared.claims,
        session_sha256=session.sha256 if session else "",
    )


def _spawn(
    intent: ev.LaunchIntended, manifest: Manifest, session: GuestSession | None
) -> fx.SpawnQemu:
    return fx.SpawnQemu(
        launch=intent.launch,
        directory=intent.directory,
        argv=intent.argv,
        uuid=intent.uuid,
        log_bytes=manifest.limits.log_bytes,
        images=intent.images,
        bounds=bounds(manifest, intent.accel),
        session=session,
        agent=manifest.agent,
    )


def _timer(intent: ev.LaunchIntended) -> fx.ArmTimer:
    return fx.ArmTimer(intent.launch, ob.TimerKind.LAUNCH, intent.deadline_ms)
