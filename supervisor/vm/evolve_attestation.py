"""The fold of a confidential launch: its session, its measurement, and who let it run."""

from supervisor.vm import events as ev
from supervisor.vm.changed import changed, with_launch
from supervisor.vm.confidential import SnpEvidence
from supervisor.vm.observations import TimerKind
from supervisor.vm.state import AttestationStage, Phase, VmState

AWAITED_REPORTS = 16
"""Of more, the oldest is given up: nobody waits that long for a report."""


def evolve_attestation(state: VmState, event: ev.AttestationEvent) -> VmState:
    """Return the state after one more event of these."""
    match event:
        case ev.SessionAwaited():
            deadlines = {TimerKind.SESSION: event.deadline_ms}
            return changed(state, phase=Phase.AWAITING_SESSION, deadlines=deadlines)
        case ev.SessionProvided():
            return _provided(state, event)
        case ev.LaunchMeasured():
            return _measured(state, event)
        case ev.SecretAccepted():
            stage = AttestationStage.SECRET_ACCEPTED
            return with_launch(state, stage=stage, packet_sha256=event.sha256)
        case ev.SecretInjected():
            return with_launch(state, stage=AttestationStage.SECRET_INJECTED)
        case ev.LaunchApproved():
            approved = with_launch(state, stage=AttestationStage.APPROVED)
            deadlines = {TimerKind.LAUNCH: event.deadline_ms}
            return changed(approved, phase=Phase.LAUNCHING, deadlines=deadlines)
        case ev.LaunchRejected() | ev.LaunchBypassed():
            return state
        case ev.ReportRequested() | ev.ReportReceived() | ev.ReportRefused():
            return _reported(state, event)


def _provided(state: VmState, event: ev.SessionProvided) -> VmState:
    provided = changed(state, session=event.session)
    if state.phase is not Phase.AWAITING_SESSION:
        return provided
    # It had no turn while it waited: its place in the queue counts from now.
    due = changed(provided, relaunch_due_ms=state.seen_ms)
    return changed(due, phase=Phase.DEFINED, deadlines={})


def _measured(state: VmState, event: ev.LaunchMeasured) -> VmState:
    measured = with_launch(state, evidence=event.evidence)
    if isinstance(event.evidence, SnpEvidence):
        return measured  # nobody outside can verify it before the guest runs
    deadlines = {TimerKind.VERIFICATION: event.deadline_ms}
    waiting = with_launch(measured, stage=AttestationStage.MEASURED)
    return changed(waiting, phase=Phase.AWAITING_VERIFICATION, deadlines=deadlines)


def _reported(
    state: VmState, event: ev.ReportRequested | ev.ReportReceived | ev.ReportRefused
) -> VmState:
    awaited = state.current.awaited_reports
    if isinstance(event, ev.ReportRequested):
        awaited = (*awaited, event.nonce_hex)[-AWAITED_REPORTS:]
    else:
        awaited = tuple(nonce for nonce in awaited if nonce != event.nonce)
    return with_launch(state, awaited_reports=awaited)
