"""What every observation of the launch and its process leads to in every state."""

from supervisor.vm import observations as ob
from supervisor.vm.observations import RunState, TimerKind
from tests.vm.states import CRASH, DIRECTORY, EVIDENCE, EXIT, IMAGES, NOW, PROCESS, SHA256
from tests.vm.tables import DUE, Row

PROCESS_OBSERVATIONS = (
    Row(
        ob.Queued(0, 8),
        {
            "defined again started": "Queued",
        },
    ),
    Row(
        ob.Reserved(0, ()),
        {
            "preparing": "-> PrepareLaunch",
        },
    ),
    Row(
        ob.ReservationRefused(0, "port 80 is taken"),
        {
            "defined queued": "VmFailed(qemu-failed-to-start)",
            "again": "LaunchEnded(qemu-failed-to-start) -> ReleaseLaunch, ArmTimer(backoff)",
            "started": "VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.LaunchPrepared(0, DIRECTORY, IMAGES, "tcg"),
        {
            "preparing": "LaunchIntended -> SpawnQemu, ArmTimer(launch)",
            "alive collecting backoff ended": "-> ReleaseLaunch",
        },
    ),
    Row(
        ob.LaunchImpossible(0, "no kernel"),
        {
            "defined queued": "VmFailed(qemu-failed-to-start)",
            "again": "LaunchEnded(qemu-failed-to-start) -> ReleaseLaunch, ArmTimer(backoff)",
            "started": "VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
        },
    ),
    Row(
        ob.QemuSpawned(0, PROCESS),
        {
            "up": "QemuSpawned",
            "asked": "QemuSpawned -> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting crashing": "QemuSpawned -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "QemuSpawned -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.SpawnFailed(0, "ENOEXEC"),
        {
            "up": "VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "asked": "VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "VmStopped(completed) -> ReleaseLaunch",
            "killing": "VmStopped(killed-by-client) -> ReleaseLaunch",
            "crashing": "LaunchEnded(guest-panicked) -> ReleaseLaunch, ArmTimer(backoff)",
        },
    ),
    Row(
        ob.ProcessExited(0, EXIT),
        {
            "launching spawned": "ProcessExited, VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "running paused": "ProcessExited, VmFailed(qemu-crashed) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
            "crashing": (
                "ProcessExited, LaunchEnded(guest-panicked) -> ReleaseLaunch, ArmTimer(backoff)"
            ),
        },
    ),
    Row(
        ob.ProcessExited(0, CRASH),
        {
            "launching spawned": "ProcessExited, VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "running paused": "ProcessExited, VmFailed(qemu-crashed) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
            "crashing": (
                "ProcessExited, LaunchEnded(guest-panicked) -> ReleaseLaunch, ArmTimer(backoff)"
            ),
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PRELAUNCH, EVIDENCE),
        {
            "launching spawned": "Adopted, ObservationGap -> ExecuteQmp(cont)",
            "booting computing": "Adopted, ObservationGap, GuestPaused",
            "sleeping": "Adopted, ObservationGap, GuestWoke, GuestPaused",
            "resetting": "Adopted, ObservationGap, GuestPaused -> ExecuteQmp(system_reset)",
            "paused": "Adopted, ObservationGap",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.RUNNING, EVIDENCE),
        {
            "launching spawned": "Adopted, ObservationGap, GuestStarted -> ArmTimer(ttl)",
            "booting computing": "Adopted, ObservationGap",
            "sleeping": "Adopted, ObservationGap, GuestWoke",
            "resetting": "Adopted, ObservationGap -> ExecuteQmp(system_reset)",
            "paused": "Adopted, ObservationGap, GuestResumed -> ExecuteQmp(stop)",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PAUSED, EVIDENCE),
        {
            "launching spawned paused": "Adopted, ObservationGap",
            "booting computing": "Adopted, ObservationGap, GuestPaused",
            "sleeping": "Adopted, ObservationGap, GuestWoke, GuestPaused",
            "resetting": "Adopted, ObservationGap, GuestPaused -> ExecuteQmp(system_reset)",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.SHUTDOWN, EVIDENCE),
        {
            "up": (
                "Adopted, ObservationGap, StopOrdered(guest-powered-off, quit) -> "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.PANICKED, EVIDENCE),
        {
            "up": (
                "Adopted, ObservationGap, StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.ERROR, EVIDENCE),
        {
            "up": (
                "Adopted, ObservationGap, StopOrdered(qemu-crashed, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.SUSPENDED, EVIDENCE),
        {
            "launching spawned": (
                "Adopted, ObservationGap, GuestStarted, GuestSuspended -> ArmTimer(ttl)"
            ),
            "booting computing": "Adopted, ObservationGap, GuestSuspended",
            "sleeping": "Adopted, ObservationGap",
            "resetting": "Adopted, ObservationGap, GuestSuspended -> ExecuteQmp(system_reset)",
            "paused": "Adopted, ObservationGap, GuestResumed, GuestSuspended -> ExecuteQmp(stop)",
            "asked": (
                "Adopted, ObservationGap -> StopComputation, ExecuteQmp(system_powerdown), "
                "ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.HUNG, EVIDENCE),
        {
            "up": (
                "Adopted, ObservationGap, StopOrdered(guest-hung, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.Reattached(0, PROCESS, RunState.DISK_FAILED, EVIDENCE),
        {
            "up": (
                "Adopted, ObservationGap, StopOrdered(host-disk-failed, quit) -> "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "Adopted, ObservationGap, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "quitting crashing": "Adopted, ObservationGap -> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "Adopted, ObservationGap -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.ProcessSilent(0, "no greeting"),
        {
            "alive": "ContactLost -> ArmTimer(contact)",
        },
    ),
    Row(
        ob.NeverSpawned(0),
        {
            "launching": "LaunchAbandoned -> ReleaseLaunch, Reserve",
            "spawned": "ProcessExited, VmFailed(qemu-failed-to-start) -> ReleaseLaunch",
            "running paused": "ProcessExited, VmFailed(qemu-crashed) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
            "crashing": (
                "ProcessExited, LaunchEnded(guest-panicked) -> ReleaseLaunch, ArmTimer(backoff)"
            ),
        },
    ),
    Row(
        ob.HostRebooted(0),
        {
            "up": "VmFailed(lost-by-reboot) -> ReleaseLaunch",
            "asked": "ProcessExited, VmStopped(stopped-by-client) -> ReleaseLaunch",
            "quitting": "ProcessExited -> CollectResult",
            "killing": "ProcessExited, VmStopped(killed-by-client) -> ReleaseLaunch",
            "crashing": (
                "ProcessExited, LaunchEnded(guest-panicked) -> ReleaseLaunch, ArmTimer(backoff)"
            ),
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
            "booting sleeping paused": (
                "StopOrdered(ttl-expired, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "computing resetting": (
                "StopOrdered(ttl-expired, ask-guest) -> StopComputation, "
                "ExecuteQmp(system_powerdown), ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.STOP, DUE),
        {
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting crashing": (
                "StopEscalated(terminate) -> SignalProcess(SIGTERM), ArmTimer(stop)"
            ),
            "killing": "StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(ob.TimerFired(0, TimerKind.CONTACT, DUE)),
    Row(
        ob.TimerFired(0, TimerKind.BACKOFF, DUE),
        {
            "backoff": "BackoffElapsed -> ReleaseLaunch, Reserve",
        },
    ),
    Row(ob.TimerFired(0, TimerKind.VERIFICATION, DUE)),
    Row(ob.TimerFired(0, TimerKind.SESSION, DUE)),
    Row(ob.TimerFired(0, TimerKind.INPUTS, DUE)),
    Row(ob.TimerFired(0, TimerKind.BACKOFF, NOW - 1)),
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
    Row(
        ob.RemovalFailed(0, "permission denied"),
        {
            "deleting": "RemovalFailed -> ArmTimer(removal)",
        },
    ),
    Row(
        ob.TimerFired(0, TimerKind.REMOVAL, DUE),
        {
            "deleting": "-> RemoveFiles",
        },
    ),
)
