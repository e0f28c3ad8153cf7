"""What every word of QEMU about its guest leads to in every state."""

from supervisor.vm import observations as ob
from supervisor.vm.observations import RunState, ShutdownCause
from tests.vm.confidential_states import INJECTED, MEASURED
from tests.vm.tables import Row

GUEST_OBSERVATIONS = (
    Row(MEASURED),
    Row(INJECTED),
    Row(ob.ReportReceived(0, bytes(16), bytes(208))),
    Row(ob.ReportRefused(0, bytes(16), "no")),
    Row(
        ob.QmpReady(0, "7.2.0"),
        {
            "launching spawned": "QmpReady -> ExecuteQmp(cont)",
            "running paused asked quitting killing crashing": "QmpReady",
        },
    ),
    Row(
        ob.QmpLost(0, "end of file"),
        {
            "alive": "ContactLost -> ArmTimer(contact)",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "cont", "no"),
        {
            "launching spawned": (
                "QmpCommandFailed, StopOrdered(qemu-failed-to-start, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "running paused asked quitting killing crashing": "QmpCommandFailed",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "cont", "not a QMP message", ob.QmpFailure.UNANSWERED),
        {
            "alive": "QmpCommandFailed",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "quit", "no"),
        {
            "up asked killing": "QmpCommandFailed",
            "quitting crashing": (
                "QmpCommandFailed, StopEscalated(terminate) -> SignalProcess(SIGTERM), "
                "ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "stop", "no"),
        {
            "alive": "QmpCommandFailed",
        },
    ),
    Row(
        ob.ObservationsDropped(0, 7),
        {
            "alive": "ObservationGap -> QueryRunState",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.PRELAUNCH),
        {
            "launching spawned": "-> ExecuteQmp(cont)",
            "booting computing resetting": "GuestPaused",
            "sleeping": "GuestWoke, GuestPaused",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.RUNNING),
        {
            "launching spawned": "GuestStarted -> ArmTimer(ttl)",
            "sleeping": "GuestWoke",
            "paused": "GuestResumed -> ExecuteQmp(stop)",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.PAUSED),
        {
            "booting computing resetting": "GuestPaused",
            "sleeping": "GuestWoke, GuestPaused",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.SHUTDOWN),
        {
            "up": "StopOrdered(guest-powered-off, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.PANICKED),
        {
            "up": "StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.ERROR),
        {
            "up": "StopOrdered(qemu-crashed, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.SUSPENDED),
        {
            "launching spawned": "GuestStarted, GuestSuspended -> ArmTimer(ttl)",
            "booting computing resetting": "GuestSuspended",
            "paused": "GuestResumed, GuestSuspended -> ExecuteQmp(stop)",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.HUNG),
        {
            "up": "StopOrdered(guest-hung, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.DISK_FAILED),
        {
            "up": "StopOrdered(host-disk-failed, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting crashing": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.GuestStopped(0),
        {
            "running": "-> QueryRunState",
        },
    ),
    Row(
        ob.GuestResumed(0),
        {
            "launching spawned": "GuestStarted -> ArmTimer(ttl)",
            "paused": "GuestResumed -> ExecuteQmp(stop)",
        },
    ),
    Row(
        ob.GuestWasReset(0, by_guest=True),
        {
            "booting": "GuestReset",
            "computing sleeping resetting paused": "GuestReset -> ArmTimer(launch)",
        },
    ),
    Row(
        ob.GuestWasReset(0, by_guest=False),
        {
            "running paused": "GuestReset -> ArmTimer(launch)",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.GUEST_SHUTDOWN),
        {
            "up": (
                "GuestShutDown, StopOrdered(guest-powered-off, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.GUEST_RESET),
        {
            "up": (
                "GuestShutDown, StopOrdered(guest-rebooted, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.GUEST_PANIC),
        {
            "up": (
                "GuestShutDown, StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.HOST_QUIT),
        {
            "up": (
                "GuestShutDown, StopOrdered(stopped-by-host, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.HOST_SIGNAL),
        {
            "up": (
                "GuestShutDown, StopOrdered(stopped-by-host, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.UNKNOWN),
        {
            "up": (
                "GuestShutDown, StopOrdered(guest-powered-off, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestPanicked(0),
        {
            "up": (
                "GuestPanicked, StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestPanicked, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestPanicked",
        },
    ),
    Row(
        ob.GuestHung(0),
        {
            "up": "GuestHung, StopOrdered(guest-hung, quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "asked": "GuestHung, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing crashing": "GuestHung",
        },
    ),
    Row(
        ob.GuestSuspended(0),
        {
            "launching spawned booting computing resetting paused": "GuestSuspended",
            "asked quitting killing crashing": "GuestSuspended",
        },
    ),
    Row(
        ob.GuestWoke(0),
        {
            "sleeping": "GuestWoke",
        },
    ),
    Row(
        ob.GuestCrashLoaded(0),
        {
            "alive": "GuestCrashLoaded",
        },
    ),
    Row(
        ob.MemoryFailed(0, "guest: inject"),
        {
            "alive": "MemoryFailed",
        },
    ),
    Row(
        ob.GuestDiskFailed(0, "results", "write: no space left"),
        {
            "alive": "GuestDiskFailed",
        },
    ),
)
