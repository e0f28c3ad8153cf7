"""What every message that matters to a confidential launch leads to, in every state of one."""

from supervisor.vm import observations as ob
from supervisor.vm.commands import (
    ApproveLaunch,
    Delete,
    InjectSecret,
    Kill,
    Pause,
    ProvideSession,
    RejectLaunch,
    RequestReport,
    Reset,
    Resume,
    Start,
    Stop,
)
from supervisor.vm.observations import RunState, TimerKind
from tests.vm.confidential_states import (
    CLAIMS,
    EVIDENCE_OF_LAUNCH,
    FIRST,
    HEADER,
    INJECT,
    MEASUREMENT,
    PACKET,
    PLATFORM,
    SECOND,
    SECRET,
)
from tests.vm.states import CRASH, DIRECTORY, EVIDENCE, IMAGES, PROCESS, SHA256
from tests.vm.tables import DUE, Row

ATTESTATION = (
    Row(
        ProvideSession(SECOND),
        {
            "sealed every": ("denied: wrong-phase"),
            "resting": "SessionProvided",
            "owing": "SessionProvided -> ReleaseLaunch, Reserve",
        },
    ),
    Row(
        ProvideSession(FIRST),
        {
            "resting owing": "denied: session-reused",
        },
    ),
    Row(
        INJECT,
        {
            "sealed": "denied: launch-differs",
            "starting measuring rejected": "denied: wrong-phase",
            "awaiting": "SecretAccepted -> InjectSecret",
            "accepted": "-> InjectSecret",
        },
    ),
    Row(
        InjectSecret(1, MEASUREMENT, HEADER, b"another 16 bytes"),
        {
            "sealed": "denied: launch-differs",
            "starting measuring rejected": "denied: wrong-phase",
            "awaiting": "SecretAccepted -> InjectSecret",
            "accepted approved shielded resting owing": "denied: secret-already-sent",
        },
    ),
    Row(
        InjectSecret(1, "another", HEADER, SECRET),
        {
            "sealed": "denied: launch-differs",
            "starting measuring": "denied: wrong-phase",
            "awaiting accepted approved shielded rejected resting owing": (
                "denied: measurement-differs"
            ),
        },
    ),
    Row(
        InjectSecret(2, MEASUREMENT, HEADER, SECRET),
        {
            "sealed every resting owing": ("denied: launch-differs"),
        },
    ),
    Row(
        InjectSecret(1, MEASUREMENT, HEADER, bytes(272)),
        {
            "sealed": "denied: launch-differs",
            "starting measuring": "denied: wrong-phase",
            "awaiting accepted approved shielded rejected resting owing": (
                "denied: secret-too-large"
            ),
        },
    ),
    Row(
        InjectSecret(1, MEASUREMENT, bytes(51), SECRET),
        {
            "sealed": "denied: launch-differs",
            "starting measuring": "denied: wrong-phase",
            "awaiting accepted approved shielded rejected resting owing": (
                "denied: invalid-argument"
            ),
        },
    ),
    Row(
        ApproveLaunch(1, MEASUREMENT),
        {
            "sealed": "denied: launch-differs",
            "starting measuring rejected": "denied: wrong-phase",
            "awaiting": "LaunchApproved(owner) -> ExecuteQmp(cont), ArmTimer(launch)",
            "accepted": "denied: secret-already-sent",
        },
    ),
    Row(
        ApproveLaunch(1, "another"),
        {
            "sealed": "denied: launch-differs",
            "starting measuring": "denied: wrong-phase",
            "awaiting accepted approved shielded rejected resting owing": (
                "denied: measurement-differs"
            ),
        },
    ),
    Row(
        ApproveLaunch(2, MEASUREMENT),
        {
            "sealed every resting owing": ("denied: launch-differs"),
        },
    ),
    Row(
        RejectLaunch(1, "not mine"),
        {
            "sealed": "denied: launch-differs",
            "starting measuring approved shielded resting owing": "denied: wrong-phase",
            "awaiting accepted": (
                "LaunchRejected, StopOrdered(launch-rejected, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
        },
    ),
    Row(
        RejectLaunch(2, "not mine"),
        {
            "sealed every resting owing": ("denied: launch-differs"),
        },
    ),
    Row(
        RequestReport(bytes(16)),
        {
            "sealed starting measuring awaiting accepted approved rejected resting owing": (
                "denied: wrong-phase"
            ),
            "shielded": "ReportRequested -> RequestReport",
        },
    ),
    Row(
        RequestReport(bytes(15)),
        {
            "sealed every resting owing": ("denied: invalid-argument"),
        },
    ),
    Row(
        Start(),
        {
            "rejected": "denied: wrong-phase",
            "resting": "StartOrdered, SessionAwaited -> ReleaseLaunch, ArmTimer(session)",
        },
    ),
    Row(
        Stop(),
        {
            "sealed resting owing": "VmStopped(stopped-by-client)",
            "starting measuring awaiting accepted approved shielded": (
                "StopOrdered(stopped-by-client, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        Kill(),
        {
            "sealed resting owing": "VmStopped(killed-by-client)",
            "starting measuring awaiting accepted approved shielded": (
                "StopOrdered(killed-by-client, kill) -> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
            "rejected": "StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        Pause(),
        {
            "sealed starting measuring awaiting accepted approved rejected resting owing": (
                "denied: wrong-phase"
            ),
            "shielded": "PauseOrdered -> ExecuteQmp(stop)",
        },
    ),
    Row(
        Resume(),
        {
            "sealed starting measuring awaiting accepted approved rejected resting owing": (
                "denied: wrong-phase"
            ),
        },
    ),
    Row(
        Reset(),
        {
            "sealed every resting owing": ("denied: wrong-phase"),
        },
    ),
    Row(
        Delete(),
        {
            "sealed every": ("denied: wrong-phase"),
            "resting owing": "VmStopped(stopped-by-client), DeleteOrdered -> RemoveFiles",
        },
    ),
    Row(
        ob.LaunchMeasured(0, EVIDENCE_OF_LAUNCH),
        {
            "starting measuring": "LaunchMeasured -> ArmTimer(verification)",
        },
    ),
    Row(
        ob.SecretInjected(0, PACKET),
        {
            "accepted": (
                "SecretInjected, LaunchApproved(owner) -> ExecuteQmp(cont), ArmTimer(launch)"
            ),
        },
    ),
    Row(
        ob.SecretInjected(0, SHA256),
        {},
    ),
    Row(
        ob.ReportReceived(0, bytes(16), bytes(208)),
        {},
    ),
    Row(
        ob.ReportRefused(0, bytes(16), "no"),
        {},
    ),
    Row(
        ob.QmpReady(0, "7.2.0"),
        {
            "starting measuring": "QmpReady -> MeasureLaunch",
            "awaiting accepted shielded rejected": "QmpReady",
            "approved": "QmpReady -> ExecuteQmp(cont)",
        },
    ),
    Row(
        ob.GuestResumed(0),
        {
            "starting measuring awaiting accepted": (
                "LaunchBypassed, StopOrdered(launch-bypassed, kill) -> SignalProcess(SIGKILL), "
                "ArmTimer(stop)"
            ),
            "approved": "GuestStarted -> ArmTimer(ttl)",
            "rejected": (
                "LaunchBypassed, StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.RUNNING),
        {
            "starting measuring awaiting accepted": (
                "LaunchBypassed, StopOrdered(launch-bypassed, kill) -> SignalProcess(SIGKILL), "
                "ArmTimer(stop)"
            ),
            "approved": "GuestStarted -> ArmTimer(ttl)",
            "rejected": (
                "LaunchBypassed, StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.SUSPENDED),
        {
            "starting measuring awaiting accepted": (
                "LaunchBypassed, StopOrdered(launch-bypassed, kill) -> SignalProcess(SIGKILL), "
                "ArmTimer(stop)"
            ),
            "approved": "GuestStarted, GuestSuspended -> ArmTimer(ttl)",
            "shielded": "GuestSuspended",
            "rejected": "-> ExecuteQmp(quit), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PRELAUNCH, EVIDENCE),
        {
            "starting measuring": "Adopted, ObservationGap -> MeasureLaunch",
            "awaiting accepted": "Adopted, ObservationGap",
            "approved": "Adopted, ObservationGap -> ExecuteQmp(cont)",
            "shielded": "Adopted, ObservationGap, GuestPaused",
            "rejected": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.RUNNING, EVIDENCE),
        {
            "starting measuring awaiting accepted": (
                "Adopted, ObservationGap, LaunchBypassed, StopOrdered(launch-bypassed, kill) "
                "-> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
            "approved": "Adopted, ObservationGap, GuestStarted -> ArmTimer(ttl)",
            "shielded": "Adopted, ObservationGap",
            "rejected": (
                "Adopted, ObservationGap, LaunchBypassed, StopEscalated(kill) "
                "-> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.NeverSpawned(0),
        {
            "starting": "LaunchAbandoned -> ReleaseLaunch, Reserve",
            "measuring approved": (
                "ProcessExited, LaunchEnded(qemu-failed-to-start) -> ReleaseLaunch, "
                "ArmTimer(backoff)"
            ),
            "awaiting accepted shielded": (
                "ProcessExited, LaunchEnded(qemu-crashed) -> ReleaseLaunch, ArmTimer(backoff)"
            ),
            "rejected": "ProcessExited, VmFailed(launch-rejected) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.ProcessExited(0, CRASH),
        {
            "starting measuring approved": (
                "ProcessExited, LaunchEnded(qemu-failed-to-start) -> ReleaseLaunch, "
                "ArmTimer(backoff)"
            ),
            "awaiting accepted shielded": (
                "ProcessExited, LaunchEnded(qemu-crashed) -> ReleaseLaunch, ArmTimer(backoff)"
            ),
            "rejected": "ProcessExited, VmFailed(launch-rejected) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "query-sev-launch-measure", "no"),
        {
            "starting measuring": (
                "QmpCommandFailed, StopOrdered(attestation-failed, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "awaiting accepted approved shielded rejected": "QmpCommandFailed",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "sev-inject-launch-secret", "no"),
        {
            "starting measuring approved shielded rejected": "QmpCommandFailed",
            "awaiting accepted": (
                "QmpCommandFailed, StopOrdered(attestation-failed, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "sev-inject-launch-secret", "no", ob.QmpFailure.UNANSWERED),
        {
            "every": "QmpCommandFailed",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "cont", "no"),
        {
            "starting measuring approved": (
                "QmpCommandFailed, StopOrdered(qemu-failed-to-start, quit) -> "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "awaiting accepted shielded rejected": "QmpCommandFailed",
        },
    ),
    Row(
        ob.AgentReady(0, 1),
        {
            "shielded": "AgentReady -> StartComputation",
        },
    ),
    Row(
        ob.LaunchPrepared(0, DIRECTORY, IMAGES, "kvm", platform=PLATFORM, claims=CLAIMS),
        {
            "sealed": "LaunchIntended -> SpawnQemu, ArmTimer(launch)",
            "every resting owing": ("-> ReleaseLaunch"),
        },
    ),
    Row(
        ob.LaunchPrepared(0, DIRECTORY, IMAGES, "kvm"),
        {
            "sealed": "LaunchEnded(qemu-failed-to-start) -> ReleaseLaunch, ArmTimer(backoff)",
            "every resting owing": ("-> ReleaseLaunch"),
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.VERIFICATION, DUE),
        {
            "awaiting accepted": (
                "StopOrdered(verification-deadline, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.SESSION, DUE),
        {
            "owing": "VmFailed(session-deadline) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.LAUNCH, DUE),
        {
            "starting measuring approved shielded": (
                "StopOrdered(launch-deadline, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.BACKOFF, DUE),
        {
            "resting": "BackoffElapsed, SessionAwaited -> ReleaseLaunch, ArmTimer(session)",
        },
    ),
)
