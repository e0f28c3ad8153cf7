"""One event of every type, and the files that hold their bytes for ever.

A new type gets its file by running this module; a file that is there is never written again, and
carries the beginning of its content's digest in its name, so that it cannot change unnoticed.
"""

import hashlib
from pathlib import Path

import msgspec

from supervisor.admission import events as admission
from supervisor.schema import TAGS, AnyEvent
from supervisor.vm import events as vm
from supervisor.vm import observations as ob
from supervisor.vm.inputs import InputName
from tests.vm.confidential_states import CLAIMS, EVIDENCE_OF_LAUNCH, PACKET, SECOND
from tests.vm.states import CRASH, DIRECTORY, EVIDENCE, IMAGES, MANIFEST, NOW, PROCESS, SHA256

GOLDEN = Path(__file__).parent / "golden" / "events"
DIGEST_CHARACTERS = 16

SAMPLES: tuple[AnyEvent, ...] = (
    admission.DaemonStarted("0.1.0", 4711, "boot", "7.2.0"),
    admission.DaemonStopped(admission.StopReason.SIGNAL, 2),
    admission.FaultPlanLoaded(SHA256, ("QMP command cont is dropped (number 1)",)),
    admission.VmsRecovered(3, 1, 2, 80),
    admission.OrphanFound(
        4711, "uuid", "iris", 2, admission.OrphanVerdict.STRANGER, ("runs as user 0",)
    ),
    admission.OrphanEnded(4711, "iris", 1, "SIGTERM"),
    admission.ComputationAdmitted("iris", "key-1", SHA256),
    admission.ArtifactStored(SHA256, 2048),
    vm.ComputationSubmitted(MANIFEST, SHA256),
    vm.Queued(1, 7),
    vm.LaunchIntended(1, DIRECTORY, "uuid", ("qemu", "-S"), SHA256, IMAGES, "tcg", NOW),
    vm.QemuSpawned(1, PROCESS),
    vm.QmpReady(1, "7.2.0"),
    vm.GuestStarted(1, NOW),
    vm.AgentReady(1),
    vm.ComputationStarted(1),
    vm.ProgressReported(1, 0.5, "half"),
    vm.ComputationFinished(1, 3, 2048, "exit", "it failed"),
    vm.GuestReady(1, ob.ReadyBy.PORT, NOW),
    vm.PauseOrdered(1),
    vm.ResumeOrdered(1),
    vm.ResetOrdered(1),
    vm.GuestPaused(1),
    vm.GuestResumed(1),
    vm.GuestReset(1, True, NOW),
    vm.GuestPanicked(1),
    vm.GuestDiskFailed(1, "results", "write: no space left"),
    vm.GuestShutDown(1, ob.ShutdownCause.GUEST_SHUTDOWN),
    vm.GuestHung(1),
    vm.GuestSuspended(1),
    vm.GuestWoke(1),
    vm.GuestCrashLoaded(1),
    vm.MemoryFailed(1, "guest: inject"),
    vm.AgentBrokeProtocol(1, "not JSON"),
    vm.StopOrdered(1, vm.Outcome.TTL_EXPIRED, vm.StopStep.ASK_GUEST, NOW),
    vm.StopEscalated(1, vm.StopStep.KILL, NOW),
    vm.QmpCommandFailed(1, "cont", "no"),
    vm.ContactLost(1, "silent"),
    vm.ObservationGap(1, NOW, NOW + 1, 3),
    vm.Adopted(1, PROCESS, ob.RunState.RUNNING, EVIDENCE),
    vm.LaunchAbandoned(1),
    vm.ObservationIgnored(1, "QmpReady", 2),
    vm.ProcessExited(1, CRASH),
    vm.ResultRecorded(1, SHA256, 2048, 0),
    vm.ResultRefused(1, "too large"),
    vm.LaunchEnded(1, vm.Outcome.QEMU_CRASHED, "signal 11", 1, NOW),
    vm.BackoffElapsed(2),
    vm.StartOrdered(2),
    vm.RestartCancelled(1),
    vm.VmStopped(1, vm.Outcome.COMPLETED, "done"),
    vm.VmFailed(1, vm.Outcome.QEMU_CRASHED, "signal 11"),
    vm.DeleteOrdered(1),
    vm.RemovalFailed(1, "Operation not permitted"),
    vm.VmDeleted(1),
    vm.InputsAwaited((InputName("Bob", "iris.csv"), InputName("Carol", "algorithm")), NOW),
    vm.InputProvided("Bob", "iris.csv", SHA256, 4096),
    vm.SessionAwaited(2, NOW),
    vm.SessionProvided(2, SECOND),
    vm.LaunchMeasured(1, EVIDENCE_OF_LAUNCH, CLAIMS, NOW),
    vm.SecretAccepted(1, PACKET, 16),
    vm.SecretInjected(1, PACKET),
    vm.LaunchApproved(1, vm.VerifiedBy.OWNER, NOW),
    vm.LaunchRejected(1, "not mine"),
    vm.LaunchBypassed(1),
    vm.ReportRequested(1, "00" * 16),
    vm.ReportReceived(1, "00" * 16, "AAAA"),
    vm.ReportRefused(1, "00" * 16, "no device"),
)


def golden() -> dict[str, bytes]:
    """The kept bytes by tag."""
    return {path.name.rsplit(".", 2)[0]: path.read_bytes() for path in GOLDEN.glob("*.msgpack")}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]


def add_missing() -> None:
    kept = golden()
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for event in SAMPLES:
        tag, content = TAGS[type(event)], msgspec.msgpack.encode(event)
        if tag not in kept:
            (GOLDEN / f"{tag}.{digest(content)}.msgpack").write_bytes(content)


if __name__ == "__main__":
    add_missing()
