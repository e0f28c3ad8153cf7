"""Commands of clients: obey, answer a repetition, or deny with a reason."""

from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm.attestation_commands import decide_attestation_command
from supervisor.vm.awaiting import launch_again
from supervisor.vm.changed import changed
from supervisor.vm.commands import (
    AttestationCommand,
    Command,
    CommandDenied,
    Delete,
    DenyReason,
    Kill,
    Pause,
    ProvideInput,
    Reset,
    Resume,
    Start,
    Stop,
)
from supervisor.vm.decision import NOTHING, Decision, escalate, gentlest_step, order_stop
from supervisor.vm.providing import accept_input
from supervisor.vm.removing import remove_files
from supervisor.vm.state import STARTING, Desired, Phase, VmState

UP = (*STARTING, Phase.RUNNING, Phase.PAUSED)
"""Phases of a launch whose end nobody has ordered."""

HELD_BACK = (Phase.QUEUED, Phase.BACKOFF, Phase.AWAITING_SESSION, Phase.AWAITING_INPUTS)
"""Phases of a VM whose next launch waits: nothing runs, and no files are being made."""


def decide_command(state: VmState, command: Command, now_ms: int) -> Decision:
    """Return what a client's command leads to; raises CommandDenied."""
    if state.phase is Phase.DELETED:
        raise CommandDenied(DenyReason.VM_UNKNOWN, f"there is no VM {state.vm_id!r}")
    if isinstance(command, AttestationCommand):
        return decide_attestation_command(state, command, now_ms)
    match command:
        case Start():
            return _start(state, now_ms)
        case Stop():
            return _stop(state, command, now_ms)
        case Kill():
            return _kill(state, now_ms)
        case Pause():
            return _pause(state)
        case Resume():
            return _resume(state)
        case Reset():
            return _reset(state)
        case Delete():
            return _delete(state)
        case ProvideInput():
            return accept_input(state, command, now_ms)
    assert_never(command)


def _start(state: VmState, now_ms: int) -> Decision:
    if state.phase is Phase.STOPPING:
        raise _wrong_phase(state, "started", "; wait for its end")
    if state.desired is Desired.DELETED:
        raise CommandDenied(DenyReason.WRONG_PHASE, f"VM {state.vm_id!r} is being deleted")
    if state.phase not in (Phase.BACKOFF, Phase.STOPPED, Phase.FAILED):
        return NOTHING  # it is on its way, or there already
    ordered = ev.StartOrdered(state.next_launch)
    # Whatever was kept of the launch before is of no use from now on.
    return launch_again(changed(state, outcome=None), now_ms).after(ordered)


def _stop(state: VmState, command: Stop, now_ms: int) -> Decision:
    match state.phase:
        case phase if phase is Phase.DEFINED or phase in HELD_BACK:
            return _end_without_process(state, ev.Outcome.STOPPED_BY_CLIENT)
        case _ if state.phase in UP:
            limit = state.manifest.limits.stop_grace_ms
            grace = limit if command.grace_ms is None else command.grace_ms
            outcome = ev.Outcome.STOPPED_BY_CLIENT
            return order_stop(state, outcome, gentlest_step(state), now_ms, grace)
        case _:
            return _cancel_restart(state)


def _kill(state: VmState, now_ms: int) -> Decision:
    match state.phase:
        case phase if phase is Phase.DEFINED or phase in HELD_BACK:
            return _end_without_process(state, ev.Outcome.KILLED_BY_CLIENT)
        case _ if state.phase in UP:
            return order_stop(state, ev.Outcome.KILLED_BY_CLIENT, ev.StopStep.KILL, now_ms)
        case Phase.STOPPING if state.ending and state.ending.step is not ev.StopStep.KILL:
            cancelled = _cancel_restart(state).events
            exited = state.current.exit_evidence is not None
            harder = NOTHING if exited else escalate(state, ev.StopStep.KILL, now_ms)
            return harder.after(*cancelled)
        case _:
            return _cancel_restart(state)


def _end_without_process(state: VmState, outcome: ev.Outcome) -> Decision:
    again = " again" if state.launch else ""
    detail = f"ended before it was launched{again}"
    return Decision((ev.VmStopped(state.launch_number, outcome, detail),))


def _cancel_restart(state: VmState) -> Decision:
    # Its launch ends for a reason of its own, after which the restart policy would go on.
    if state.phase is not Phase.STOPPING or state.desired is Desired.ENDED:
        return NOTHING
    return Decision((ev.RestartCancelled(state.launch_number),))


def _pause(state: VmState) -> Decision:
    stop = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.STOP)
    match state.phase:
        case Phase.RUNNING if state.desired is Desired.PAUSED:
            return Decision(effects=(stop,))  # the first try may have failed
        case Phase.RUNNING:
            return Decision((ev.PauseOrdered(state.launch_number),), (stop,))
        case Phase.PAUSED if state.desired is Desired.PAUSED:
            return NOTHING
        case Phase.PAUSED:
            return Decision((ev.PauseOrdered(state.launch_number),), (stop,))
        case _:
            raise _wrong_phase(state, "paused")


def _resume(state: VmState) -> Decision:
    cont = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.CONT)
    match state.phase:
        case Phase.PAUSED if state.desired is Desired.RUNNING:
            return Decision(effects=(cont,))
        case Phase.PAUSED:
            return Decision((ev.ResumeOrdered(state.launch_number),), (cont,))
        case Phase.RUNNING if state.desired is Desired.PAUSED:
            return Decision((ev.ResumeOrdered(state.launch_number),), (cont,))
        case Phase.RUNNING:
            return NOTHING
        case _:
            raise _wrong_phase(state, "resumed")


def _reset(state: VmState) -> Decision:
    if state.phase not in (Phase.RUNNING, Phase.PAUSED):
        raise _wrong_phase(state, "reset")
    if state.manifest.confidential is not None:
        told = f"VM {state.vm_id!r} is confidential: it is measured at a launch, and not at a reset"
        raise CommandDenied(DenyReason.WRONG_PHASE, told)
    reset = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.RESET)
    return Decision((ev.ResetOrdered(state.launch_number),), (reset,))


def _delete(state: VmState) -> Decision:
    remove = remove_files(state)
    if state.phase in HELD_BACK:
        ended = _end_without_process(state, ev.Outcome.STOPPED_BY_CLIENT)
        return Decision((*ended.events, ev.DeleteOrdered(state.launch_number)), (remove,))
    if state.phase not in (Phase.STOPPED, Phase.FAILED):
        raise _wrong_phase(state, "deleted", "; stop or kill it first")
    if state.desired is Desired.DELETED:
        return Decision(effects=(remove,))
    return Decision((ev.DeleteOrdered(state.launch_number),), (remove,))


def _wrong_phase(state: VmState, what: str, advice: str = "") -> CommandDenied:
    detail = f"VM {state.vm_id!r} is in phase {state.phase.value} and cannot be {what}{advice}"
    return CommandDenied(DenyReason.WRONG_PHASE, detail)
