"""What happens to the launch and its process: prepared, spawned, found again, timed out, gone."""

from typing import assert_never

from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.awaiting import launch_again
from supervisor.vm.contact import lose_contact, reattach
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
from supervisor.vm.inputs import listed
from supervisor.vm.launching import BeforeLaunch, before_launch, begin_launch
from supervisor.vm.outcomes import EXPLANATIONS
from supervisor.vm.own_agent import await_ready
from supervisor.vm.removing import after_removal, try_again
from supervisor.vm.run_state import fold_run_state, repeat_reset
from supervisor.vm.state import Phase, VmState

ANOTHER_BOOT = "QEMU ran under another boot: the host rebooted, or this is another host"

ProcessObservation = (
    BeforeLaunch
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
    | ob.RemovalFailed
)


def decide_process(state: VmState, seen: ProcessObservation, now_ms: int) -> Decision:
    """Return what follows from an observation about the process of the current launch."""
    if isinstance(seen, BeforeLaunch):
        return before_launch(state, seen, now_ms)
    match seen:
        case ob.ResultCollected() | ob.ResultRefused():
            return after_result(state, seen, now_ms)
        case ob.FilesRemoved() | ob.RemovalFailed():
            return after_removal(state, seen, now_ms)
        case ob.TimerFired():
            return _timer(state, seen, now_ms)
    return _alive(state, seen, now_ms) if state.has_process else NOTHING


def _alive(
    state: VmState,
    seen: ob.QemuSpawned
    | ob.SpawnFailed
    | ob.ProcessExited
    | ob.Reattached
    | ob.ProcessSilent
    | ob.NeverSpawned
    | ob.HostRebooted,
    now_ms: int,
) -> Decision:
    match seen:
        case ob.QemuSpawned():
            spawned = ev.QemuSpawned(seen.launch, seen.process)
            # A stop that was ordered before there was a process is tried now that there is one.
            return Decision((spawned,), repeat_step(state))
        case ob.SpawnFailed():
            return _spawn_failed(state, seen, now_ms)
        case ob.ProcessExited():
            return after_exit(state, seen.evidence, now_ms)
        case ob.Reattached():
            return _reattached(state, seen, now_ms)
        case ob.ProcessSilent():
            return lose_contact(state, seen.detail, now_ms)
        case ob.NeverSpawned():
            return _never_spawned(state, now_ms)
        case ob.HostRebooted():
            return _host_rebooted(state, now_ms)
    assert_never(seen)


def _reattached(state: VmState, seen: ob.Reattached, now_ms: int) -> Decision:
    since = state.silent_since_ms or state.seen_ms
    adopted = ev.Adopted(seen.launch, seen.process, seen.run_state, seen.evidence, seen.containment)
    gap = ev.ObservationGap(seen.launch, since, now_ms)
    found = fold_run_state(state, seen.run_state, now_ms).after(adopted, gap)
    up = state.phase in (Phase.RUNNING, Phase.PAUSED)  # one that was starting is waited for there
    again = (*repeat_reset(state, seen.run_state), *(await_ready(state) if up else ()))
    return Decision(found.events, (*found.effects, *again))


def _spawn_failed(state: VmState, seen: ob.SpawnFailed, now_ms: int) -> Decision:
    outcome = state.ending.outcome if state.ending else ev.Outcome.QEMU_FAILED_TO_START
    return finish(state, outcome, seen.detail, now_ms)


def _host_rebooted(state: VmState, now_ms: int) -> Decision:
    if state.ending:  # it was to end, it has ended, and its result may lie on the disk
        return after_exit(state, ob.ExitEvidence(), now_ms)
    return finish(state, ev.Outcome.LOST_BY_REBOOT, ANOTHER_BOOT, now_ms)


def _never_spawned(state: VmState, now_ms: int) -> Decision:
    launch = state.current
    alive = launch.process is not None or launch.qmp_version != ""
    if alive or state.phase in (Phase.AWAITING_VERIFICATION, Phase.RUNNING, Phase.PAUSED):
        return after_exit(state, ob.ExitEvidence(), now_ms)  # it was seen alive, so it is gone
    if state.ending:
        return finish(state, state.ending.outcome, "ended before QEMU was started", now_ms)
    abandoned = ev.LaunchAbandoned(state.launch_number)
    return Decision((abandoned,), begin_launch(state))


def _timer(state: VmState, seen: ob.TimerFired, now_ms: int) -> Decision:
    if seen.kind is ob.TimerKind.CONTACT:
        return NOTHING if state.silent_since_ms is None else Decision(effects=(reattach(state),))
    if seen.kind is ob.TimerKind.REMOVAL:
        return try_again(state)
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
        case ob.TimerKind.BACKOFF:
            return launch_again(state, now_ms).after(ev.BackoffElapsed(state.next_launch))
        case ob.TimerKind.VERIFICATION:
            outcome = ev.Outcome.VERIFICATION_DEADLINE
            return order_stop(state, outcome, ev.StopStep.QUIT, now_ms)
        case ob.TimerKind.SESSION:
            outcome = ev.Outcome.SESSION_DEADLINE
            return finish(state, outcome, EXPLANATIONS[outcome], now_ms)
        case ob.TimerKind.INPUTS:
            outcome = ev.Outcome.INPUTS_DEADLINE
            told = f"{EXPLANATIONS[outcome]}: {listed(state.missing_inputs)}"
            return finish(state, outcome, told, now_ms)
