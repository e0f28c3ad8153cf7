"""What an owner orders of a confidential launch. Whatever is repeated is answered as before.

An order names the launch and echoes its measurement, so that it reaches no launch that its sender
has not seen. Of distinct packets, a launch gets one at most.
"""

import hashlib
from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm.attestation import approve
from supervisor.vm.commands import (
    ApproveLaunch,
    AttestationCommand,
    CommandDenied,
    DenyReason,
    InjectSecret,
    ProvideSession,
    RejectLaunch,
    RequestReport,
)
from supervisor.vm.confidential import Confidential, Sev, SevEvidence, Snp, Verification
from supervisor.vm.confidential_rules import check_packet, check_reason, check_session
from supervisor.vm.decision import NOTHING, Decision, order_stop
from supervisor.vm.observations import TimerKind
from supervisor.vm.overdue import check_in_time
from supervisor.vm.sessions import accept_session
from supervisor.vm.state import ENDED, AttestationStage, Launch, Phase, VmState

SEV_NONCE_BYTES = 16
"""Of QMP's query-sev-attestation-report."""
SNP_NONCE_BYTES = range(16, 65)
"""The guest's request takes 64 bytes, and fewer than 16 could be guessed."""

DECIDED = (AttestationStage.SECRET_INJECTED, AttestationStage.APPROVED)


def decide_attestation_command(
    state: VmState, command: AttestationCommand, now_ms: int
) -> Decision:
    """Return what an owner's order leads to; raises CommandDenied."""
    match command:
        case ProvideSession():
            _owned(state)
            check_session(command.session)
            return accept_session(state, command.session, now_ms)
        case InjectSecret():
            return _inject(state, command, now_ms)
        case ApproveLaunch():
            return _approve(state, command, now_ms)
        case RejectLaunch():
            return _reject(state, command, now_ms)
        case RequestReport():
            return _request_report(state, command)
    assert_never(command)


def _inject(state: VmState, command: InjectSecret, now_ms: int) -> Decision:
    launch = _named(state, command.launch)
    _check_measurement(state, launch, command.measurement)
    room = launch.claims.secret_room if launch.claims else 0
    check_packet(command.packet_header, command.secret, room)
    sha256 = hashlib.sha256(command.packet_header + command.secret).hexdigest()
    if launch.packet_sha256 not in ("", sha256):
        detail = f"launch {launch.number} has a secret already, with SHA-256 {launch.packet_sha256}"
        raise CommandDenied(DenyReason.SECRET_ALREADY_SENT, detail)
    if launch.packet_sha256 and launch.stage in DECIDED:
        return NOTHING
    _check_waits(state)
    check_in_time(state, TimerKind.VERIFICATION, now_ms)
    order = fx.InjectSecret(launch.number, sha256, command.packet_header, command.secret)
    accepted = ev.SecretAccepted(launch.number, sha256, len(command.secret))
    return Decision(() if launch.packet_sha256 else (accepted,), (order,))


def _approve(state: VmState, command: ApproveLaunch, now_ms: int) -> Decision:
    launch = _named(state, command.launch)
    _check_measurement(state, launch, command.measurement)
    if launch.stage in DECIDED:
        return NOTHING
    _check_waits(state)
    check_in_time(state, TimerKind.VERIFICATION, now_ms)
    if launch.packet_sha256:
        detail = "a secret was sent, and it is not known to have arrived: send the same once more"
        raise CommandDenied(DenyReason.SECRET_ALREADY_SENT, detail)
    return approve(state, ev.VerifiedBy.OWNER, now_ms)


def _reject(state: VmState, command: RejectLaunch, now_ms: int) -> Decision:
    launch = _named(state, command.launch)
    check_reason(command.reason)
    rejected = ev.Outcome.LAUNCH_REJECTED
    if (state.ending and state.ending.outcome is rejected) or state.outcome is rejected:
        return NOTHING
    _check_waits(state)
    reason = command.reason
    ending = order_stop(state, rejected, ev.StopStep.QUIT, now_ms, detail=reason)
    return ending.after(ev.LaunchRejected(launch.number, reason))


def _request_report(state: VmState, command: RequestReport) -> Decision:
    confidential = state.manifest.confidential
    if confidential is None:
        raise _not_confidential(state, "its processor reports nothing of it")
    _check_nonce(confidential, command.nonce)
    if state.phase is not Phase.RUNNING:
        raise _wrong_phase(state, "reports are of guests that run")
    nonce, launch = command.nonce.hex(), state.current
    order = fx.RequestReport(launch.number, command.nonce, confidential)
    known = nonce in launch.awaited_reports
    requested = ev.ReportRequested(launch.number, nonce)
    return Decision(() if known else (requested,), (order,))


def _check_nonce(confidential: Confidential, nonce: bytes) -> None:
    if isinstance(confidential, Snp):
        fits, takes = len(nonce) in SNP_NONCE_BYTES, "16 to 64"
    else:
        fits, takes = len(nonce) == SEV_NONCE_BYTES, str(SEV_NONCE_BYTES)
    if not fits:
        detail = f"the nonce has {len(nonce)} bytes; it takes {takes}"
        raise CommandDenied(DenyReason.INVALID_ARGUMENT, detail)


def _owned(state: VmState) -> None:
    confidential = state.manifest.confidential
    if not isinstance(confidential, Sev):
        raise _not_confidential(state, "its launches do not wait for anybody")
    if confidential.verification is not Verification.OWNER:
        raise _not_confidential(state, "its host verifies it, and not its owner")


def _named(state: VmState, number: int) -> Launch:
    _owned(state)
    if state.launch is None or state.launch.number != number:
        detail = f"the launch of VM {state.vm_id!r} is number {state.launch_number}, not {number}"
        raise CommandDenied(DenyReason.LAUNCH_DIFFERS, detail)
    return state.launch


def _check_measurement(state: VmState, launch: Launch, measurement: str) -> None:
    if not isinstance(launch.evidence, SevEvidence):
        raise _wrong_phase(state, "the launch is not measured")
    if launch.evidence.measurement != measurement:
        detail = f"launch {launch.number} has another measurement than the one that was verified"
        raise CommandDenied(DenyReason.MEASUREMENT_DIFFERS, detail)


def _check_waits(state: VmState) -> None:
    if state.phase is not Phase.AWAITING_VERIFICATION:
        over = "it is over" if state.phase in ENDED else "the launch does not wait for its owner"
        raise _wrong_phase(state, over)


def _wrong_phase(state: VmState, why: str) -> CommandDenied:
    detail = f"VM {state.vm_id!r} is in phase {state.phase.value}: {why}"
    return CommandDenied(DenyReason.WRONG_PHASE, detail)


def _not_confidential(state: VmState, why: str) -> CommandDenied:
    detail = f"VM {state.vm_id!r} is not confidential in this way: {why}"
    return CommandDenied(DenyReason.NOT_CONFIDENTIAL, detail)
