"""What every observation of the launch and its process leads to in every state."""

from supervisor.vm import observations as ob
from supervisor.vm.observations import RunState, TimerKind
from tests.vm.states import CRASH, DIRECTORY, EVIDENCE, EXIT, IMAGES, NOW, PROCESS, SHA256
from tests.vm.tables import DUE, Row

PROCESS_OBSERVATIONS = (
    Row(
        ob.LaunchPrepared(0, DIRECTORY, IMAGES, "tcg"),
        {
            "defined": "LaunchIntended -> SpawnQemu, ArmTimer(launch)",
            "stopped deleting": "-> ReleaseLaunch",
        },
    ),
    Row(
        ob.LaunchImpossible(0, "no kernel"),
        {
            "defined": "VmFailed(qemu-failed-to-start)",
        },
    ),
    Row(
        ob.QemuSpawned(0, PROCESS),
        {
            "launching spawned booting computing paused": "QemuSpawned",
            "asked": "QemuSpawned -> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting": "QemuSpawned -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "QemuSpawned -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.SpawnFailed(0, "ENOEXEC"),
        {
            "launching spawned booting computing paused": (
                "VmFailed(qemu-failed-to-start) -> ReleaseLaunch"
            ),
            "asked": "VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "VmStopped(completed) -> ReleaseLaunch",
            "killing": "VmStopped(killed-by-client) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.ProcessExited(0, EXIT),
        {
            "launching spawned": "ProcessExited, VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "booting computing paused": "ProcessExited, VmFailed(qemu-crashed) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.ProcessExited(0, CRASH),
        {
            "launching spawned": "ProcessExited, VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "booting computing paused": "ProcessExited, VmFailed(qemu-crashed) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PRELAUNCH, EVIDENCE),
        {
            "launching spawned": "Adopted, ObservationGap -> ExecuteQmp(cont)",
            "booting computing": "Adopted, ObservationGap, GuestPaused",
            "paused": "Adopted, ObservationGap",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.RUNNING, EVIDENCE),
        {
            "launching spawned": "Adopted, ObservationGap, GuestStarted -> ArmTimer(ttl)",
            "booting computing": "Adopted, ObservationGap",
            "paused": "Adopted, ObservationGap, GuestResumed -> ExecuteQmp(stop)",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PAUSED, EVIDENCE),
        {
            "launching spawned paused": "Adopted, ObservationGap",
            "booting computing": "Adopted, ObservationGap, GuestPaused",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.SHUTDOWN, EVIDENCE),
        {
            "launching spawned booting computing paused": (
                "Adopted, ObservationGap, StopOrdered(guest-powered-off, quit) -> "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PANICKED, EVIDENCE),
        {
            "launching spawned booting computing paused": (
                "Adopted, ObservationGap, StopOrdered(guest-panicked, quit) -> "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.ERROR, EVIDENCE),
        {
            "launching spawned booting computing paused": (
                "Adopted, ObservationGap, StopOrdered(qemu-crashed, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.ProcessSilent(0, "no greeting"),
        {
            "launching spawned booting computing paused asked quitting killing": (
                "ContactLost -> ArmTimer(contact)"
            ),
        },
    ),
    Row(
        ob.NeverSpawned(0),
        {
            "launching": "LaunchAbandoned -> PrepareLaunch",
            "spawned": "ProcessExited, VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "booting computing paused": "ProcessExited, VmFailed(qemu-crashed) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.HostRebooted(0),
        {
            "launching spawned booting computing paused": (
                "VmFailed(lost-by-reboot) -> ReleaseLaunch"
            ),
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.LAUNCH, DUE),
        {
            "launching spawned booting": (
                "StopOrdered(launch-deadline, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.TTL, DUE),
        {
            "booting paused": "StopOrdered(ttl-expired, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "computing": (
                "StopOrdered(ttl-expired, ask-guest) -> StopComputation, "
                "ExecuteQmp(system_powerdown), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.STOP, DUE),
        {
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting": "StopEscalated(terminate) -> SignalProcess(SIGTERM), ArmTimer(stop)",
            "killing": "StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(ob.TimerFired(0, TimerKind.CONTACT, DUE)),
    Row(ob.TimerFired(0, TimerKind.LAUNCH, NOW - 1)),
    Row(ob.TimerFired(0, TimerKind.TTL, NOW - 1)),
    Row(ob.TimerFired(0, TimerKind.STOP, NOW - 1)),
    Row(
        ob.ResultCollected(0, SHA256, 2048, exit_code=0),
        {
            "collecting": "ResultRecorded, VmStopped(completed) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.ResultCollected(0, SHA256, 2048, exit_code=3),
        {
            "collecting": "ResultRecorded, VmFailed(computation-failed) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.ResultRefused(0, "bad magic"),
        {
            "collecting": "ResultRefused, VmFailed(result-refused)",
        },
    ),
    Row(
        ob.FilesRemoved(0),
        {
            "deleting": "VmDeleted",
        },
    ),
)
