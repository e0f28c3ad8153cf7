"""What happens to the launch and its process: prepared, spawned, found again, timed out, gone."""

from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.contact import lose_contact, reattach
from supervisor.vm.decide_guest import fold_run_state
from supervisor.vm.decision import (
    NEXT_STEP,
    NOTHING,
    Decision,
    escalate,
    gentlest_step,
    order_stop,
    repeat_step,
)
from supervisor.vm.ending import after_exit, after_result, finish
from supervisor.vm.launching import intend, prepare
from supervisor.vm.state import Desired, Phase, VmState

ProcessObservation = (
    ob.LaunchPrepared
    | ob.LaunchImpossible
    | ob.QemuSpawned
    | ob.SpawnFailed
    | ob.ProcessExited
    | ob.Reattached
    | ob.ProcessSilent
    | ob.NeverSpawned
    | ob.HostRebooted
    | ob.TimerFired
    | ob.ResultCollected
    | ob.ResultRefused
    | ob.FilesRemoved
)


def decide_process(state: VmState, seen: ProcessObservation, now_ms: int) -> Decision:
    """Return what follows from an observation about the process of the current launch."""
    match seen:
        case ob.LaunchPrepared() | ob.LaunchImpossible():
            return _prepared(state, seen, now_ms)
        case ob.ResultCollected() | ob.ResultRefused():
            return after_result(state, seen)
        case ob.FilesRemoved():
            deleting = state.desired is Desired.DELETED and state.phase is not Phase.DELETED
            return Decision((ev.VmDeleted(seen.launch),)) if deleting else NOTHING
    return _alive(state, seen, now_ms) if state.has_process else NOTHING


def _alive(
    state: VmState,
    seen: ob.QemuSpawned
    | ob.SpawnFailed
    | ob.ProcessExited
    | ob.Reattached
    | ob.ProcessSilent
    | ob.NeverSpawned
    | ob.HostRebooted
    | ob.TimerFired,
    now_ms: int,
) -> Decision:
    match seen:
        case ob.QemuSpawned():
            spawned = ev.QemuSpawned(seen.launch, seen.process)
            # A stop that was ordered before there was a process is tried now that there is one.
            return Decision((spawned,), repeat_step(state))
        case ob.SpawnFailed():
            return _spawn_failed(state, seen)
        case ob.ProcessExited():
            return after_exit(state, seen.evidence)
        case ob.Reattached():
            return _reattached(state, seen, now_ms)
        case ob.ProcessSilent():
            return lose_contact(state, seen.detail, now_ms)
        case ob.NeverSpawned():
            return _never_spawned(state)
        case ob.HostRebooted():
            return _host_rebooted(state)
        case ob.TimerFired():
            return _timer(state, seen, now_ms)
    assert_never(seen)


def _prepared(
    state: VmState, seen: ob.LaunchPrepared | ob.LaunchImpossible, now_ms: int
) -> Decision:
    if state.phase is Phase.STOPPED and isinstance(seen, ob.LaunchPrepared):
        # By the client, while the files were being made.
        return Decision(effects=(fx.ReleaseLaunch(seen.launch, seen.directory),))
    if state.phase is not Phase.DEFINED:
        return NOTHING
    if isinstance(seen, ob.LaunchPrepared):
        return intend(state, seen, now_ms)
    failed = ev.VmFailed(seen.launch, ev.Outcome.QEMU_FAILED_TO_START, seen.detail)
    return Decision((failed,))


def _reattached(state: VmState, seen: ob.Reattached, now_ms: int) -> Decision:
    since = state.silent_since_ms or state.seen_ms
    adopted = ev.Adopted(seen.launch, seen.process, seen.run_state, seen.evidence)
    gap = ev.ObservationGap(seen.launch, since, now_ms)
    return fold_run_state(state, seen.run_state, now_ms).after(adopted, gap)


def _spawn_failed(state: VmState, seen: ob.SpawnFailed) -> Decision:
    outcome = state.ending.outcome if state.ending else ev.Outcome.QEMU_FAILED_TO_START
    return finish(state, outcome, seen.detail)


def _host_rebooted(state: VmState) -> Decision:
    if state.ending:  # it was to end, it has ended, and its result may lie on the disk
        return after_exit(state, ob.ExitEvidence())
    return finish(state, ev.Outcome.LOST_BY_REBOOT, "the host rebooted meanwhile")


def _never_spawned(state: VmState) -> Decision:
    if state.current.process is not None or state.phase in (Phase.RUNNING, Phase.PAUSED):
        return after_exit(state, ob.ExitEvidence())  # it was seen alive, so it is gone
    if state.ending:
        return finish(state, state.ending.outcome, "ended before QEMU was started")
    abandoned = ev.LaunchAbandoned(state.launch_number)
    return Decision((abandoned,), (prepare(state),))


def _timer(state: VmState, seen: ob.TimerFired, now_ms: int) -> Decision:
    if seen.kind is ob.TimerKind.CONTACT:
        return NOTHING if state.silent_since_ms is None else Decision(effects=(reattach(state),))
    if state.deadlines.get(seen.kind) != seen.deadline_ms:
        return NOTHING  # disarmed or re-armed while it was on its way
    match seen.kind:
        case ob.TimerKind.LAUNCH:
            return order_stop(state, ev.Outcome.LAUNCH_DEADLINE, ev.StopStep.QUIT, now_ms)
        case ob.TimerKind.TTL:
            grace = state.manifest.limits.stop_grace_ms
            step = gentlest_step(state)
            return order_stop(state, ev.Outcome.TTL_EXPIRED, step, now_ms, grace)
        case ob.TimerKind.STOP:
            step = state.ending.step if state.ending else ev.StopStep.QUIT
            return escalate(state, NEXT_STEP[step], now_ms)
