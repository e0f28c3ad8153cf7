"""Between QEMU's start and the guest's first instruction: measured, judged, given its secret.

This is the gate: no CPU of a launch with a measurement runs before somebody approved it. The
host is not trusted to judge where the owner verifies; it only carries the evidence there.
"""

from base64 import b64encode
from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.confidential import Sev, SevEvidence, Snp, SnpEvidence, Verification
from supervisor.vm.confidential_rules import MEASUREMENT_BYTES, has_bytes
from supervisor.vm.decision import NOTHING, Decision, escalate, order_stop
from supervisor.vm.state import STARTING, AttestationStage, Phase, VmState

AttestationObservation = (
    ob.LaunchMeasured | ob.SecretInjected | ob.ReportReceived | ob.ReportRefused
)

REPORT_BYTES_MAX = 8192
"""SEV-SNP's report, the larger one, has 1184 bytes; there is room for its next version."""


def decide_attestation(state: VmState, seen: AttestationObservation, now_ms: int) -> Decision:
    """Return what follows from a word of the secure processor about a launch that lives."""
    match seen:
        case ob.LaunchMeasured():
            return _measured(state, seen, now_ms)
        case ob.SecretInjected():
            return _injected(state, seen, now_ms)
        case ob.ReportReceived() | ob.ReportRefused():
            return _reported(state, seen)
    assert_never(seen)


def is_gated(state: VmState) -> bool:
    """Return whether the guest's CPUs may not run, because nobody approved the launch."""
    return state.phase in STARTING and _is_unapproved(state)


def escaped(state: VmState, now_ms: int) -> Decision:
    """The guest runs while its launch ends: if nobody ever approved it, end it at once."""
    if state.ending is None or state.ending.step is ev.StopStep.KILL or not _is_unapproved(state):
        return NOTHING
    killed = escalate(state, ev.StopStep.KILL, now_ms)
    return killed.after(ev.LaunchBypassed(state.launch_number))


def let_run(state: VmState) -> Decision:
    """QEMU waits with CPUs that have not run: start them, or first learn what was measured."""
    launch, confidential = state.current, state.manifest.confidential
    if is_gated(state) and confidential is not None:
        if state.phase is not Phase.LAUNCHING:
            return NOTHING  # whoever decides has not decided yet
        order = fx.MeasureLaunch(launch.number, launch.directory, confidential, launch.claims)
        return Decision(effects=(order,))
    cont = fx.ExecuteQmp(launch.number, fx.QmpCommand.CONT)
    if isinstance(confidential, Snp) and launch.evidence is None:
        # Its firmware refuses what the id block does not name; the guest's report tells the rest.
        evidence = SnpEvidence(confidential.policy, state.digest)
        due = state.deadlines[ob.TimerKind.LAUNCH]
        told = ev.LaunchMeasured(launch.number, evidence, launch.claims, due)
        return Decision((told,), (cont,))
    return Decision(effects=(cont,))


def bypassed(state: VmState, now_ms: int) -> Decision:
    """The guest runs although nobody let it: end it at once, before it is told anything."""
    outcome = ev.Outcome.LAUNCH_BYPASSED
    ending = order_stop(state, outcome, ev.StopStep.KILL, now_ms)
    return ending.after(ev.LaunchBypassed(state.launch_number))


def approve(state: VmState, verified_by: ev.VerifiedBy, now_ms: int) -> Decision:
    """Let the guest run; it has the time of a launch to start the algorithm."""
    launch = state.launch_number
    deadline = now_ms + state.manifest.limits.launch_deadline_ms
    timer = fx.ArmTimer(launch, ob.TimerKind.LAUNCH, deadline)
    cont = fx.ExecuteQmp(launch, fx.QmpCommand.CONT)
    return Decision((ev.LaunchApproved(launch, verified_by, deadline),), (cont, timer))


def _is_unapproved(state: VmState) -> bool:
    measured = isinstance(state.manifest.confidential, Sev)
    return measured and state.current.stage is not AttestationStage.APPROVED


def _measured(state: VmState, seen: ob.LaunchMeasured, now_ms: int) -> Decision:
    wanted = state.manifest.confidential
    if state.phase is not Phase.LAUNCHING or not is_gated(state) or not isinstance(wanted, Sev):
        return NOTHING
    deadline = now_ms + wanted.deadline_ms
    measured = ev.LaunchMeasured(seen.launch, seen.evidence, state.current.claims, deadline)
    if problem := _why_refused(wanted, seen):
        outcome = ev.Outcome.ATTESTATION_FAILED
        ending = order_stop(state, outcome, ev.StopStep.QUIT, now_ms, detail=problem)
        return ending.after(measured)
    if wanted.verification is Verification.TRUSTED_HOST:
        return approve(state, ev.VerifiedBy.HOST, now_ms).after(measured)
    timer = fx.ArmTimer(seen.launch, ob.TimerKind.VERIFICATION, deadline)
    return Decision((measured,), (timer,))


def _why_refused(wanted: Sev, seen: ob.LaunchMeasured) -> str:
    evidence = seen.evidence
    if not isinstance(evidence, SevEvidence):
        return "the evidence is of another kind of processor"
    if not has_bytes(evidence.measurement, MEASUREMENT_BYTES):
        return f"the measurement is not {MEASUREMENT_BYTES} bytes in base64"
    if evidence.policy != wanted.policy:
        return f"the launch has the policy {evidence.policy:#x}, not {wanted.policy:#x}"
    least = (wanted.policy >> 16 & 0xFF, wanted.policy >> 24)
    if (evidence.api_major, evidence.api_minor) < least:
        has = f"{evidence.api_major}.{evidence.api_minor}"
        return f"the firmware speaks API {has}, and the policy demands {least[0]}.{least[1]}"
    if seen.host_check is ob.HostCheck.REFUSED:
        return seen.detail or "the host refuses the measurement"
    trusted = wanted.verification is Verification.TRUSTED_HOST
    if trusted and seen.host_check is not ob.HostCheck.VERIFIED:
        return "the host has not checked the measurement"
    return ""


def _injected(state: VmState, seen: ob.SecretInjected, now_ms: int) -> Decision:
    launch = state.current
    awaited = state.phase is Phase.AWAITING_VERIFICATION and launch.packet_sha256 == seen.sha256
    if not awaited or launch.stage is not AttestationStage.SECRET_ACCEPTED:
        return NOTHING
    injected = ev.SecretInjected(seen.launch, seen.sha256)
    return approve(state, ev.VerifiedBy.OWNER, now_ms).after(injected)


def _reported(state: VmState, seen: ob.ReportReceived | ob.ReportRefused) -> Decision:
    nonce = seen.nonce.hex()
    if nonce not in state.current.awaited_reports:
        return NOTHING  # a guest may say what it likes; only what was asked for is recorded
    if isinstance(seen, ob.ReportRefused):
        return Decision((ev.ReportRefused(seen.launch, nonce, seen.detail),))
    if len(seen.report) > REPORT_BYTES_MAX:
        detail = f"the report has {len(seen.report)} bytes; it takes {REPORT_BYTES_MAX}"
        return Decision((ev.ReportRefused(seen.launch, nonce, detail),))
    return Decision((ev.ReportReceived(seen.launch, nonce, b64encode(seen.report).decode()),))
