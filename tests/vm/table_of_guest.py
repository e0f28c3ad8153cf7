"""What every word of QEMU about its guest leads to in every state."""

from supervisor.vm import observations as ob
from supervisor.vm.observations import RunState, ShutdownCause
from tests.vm.tables import Row

GUEST_OBSERVATIONS = (
    Row(
        ob.QmpReady(0, "7.2.0"),
        {
            "launching spawned": "QmpReady -> ExecuteQmp(cont)",
            "booting computing paused asked quitting killing": "QmpReady",
        },
    ),
    Row(
        ob.QmpLost(0, "end of file"),
        {
            "launching spawned booting computing paused asked quitting killing": (
                "ContactLost -> ArmTimer(contact)"
            ),
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "cont", "no"),
        {
            "launching spawned": (
                "QmpCommandFailed, StopOrdered(qemu-failed-to-start, quit) -> "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "booting computing paused asked quitting killing": "QmpCommandFailed",
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "quit", "no"),
        {
            "launching spawned booting computing paused asked killing": "QmpCommandFailed",
            "quitting": (
                "QmpCommandFailed, StopEscalated(terminate) -> SignalProcess(SIGTERM), "
                "ArmTimer(stop)"
            ),
        },
    ),
    Row(
        ob.QmpCommandFailed(0, "stop", "no"),
        {
            "launching spawned booting computing paused asked quitting killing": "QmpCommandFailed",
        },
    ),
    Row(
        ob.ObservationsDropped(0, 7),
        {
            "launching spawned booting computing paused asked quitting killing": (
                "ObservationGap -> QueryRunState"
            ),
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.PRELAUNCH),
        {
            "launching spawned": "-> ExecuteQmp(cont)",
            "booting computing": "GuestPaused",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.RUNNING),
        {
            "launching spawned": "GuestStarted -> ArmTimer(ttl)",
            "paused": "GuestResumed -> ExecuteQmp(stop)",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.PAUSED),
        {
            "booting computing": "GuestPaused",
            "asked": "-> StopComputation, ExecuteQmp(system_powerdown), ArmTimer(stop)",
            "quitting": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.SHUTDOWN),
        {
            "launching spawned booting computing paused": (
                "StopOrdered(guest-powered-off, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.PANICKED),
        {
            "launching spawned booting computing paused": (
                "StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.RunStateObserved(0, RunState.ERROR),
        {
            "launching spawned booting computing paused": (
                "StopOrdered(qemu-crashed, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": "StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting": "-> ExecuteQmp(quit), ArmTimer(stop)",
            "killing": "-> SignalProcess(SIGKILL), ArmTimer(stop)",
        },
    ),
    Row(
        ob.GuestStopped(0),
        {
            "booting computing": "GuestPaused",
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
            "computing paused": "GuestReset -> ArmTimer(launch)",
        },
    ),
    Row(
        ob.GuestWasReset(0, by_guest=False),
        {
            "booting computing paused": "GuestReset -> ArmTimer(launch)",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.GUEST_SHUTDOWN),
        {
            "launching spawned booting computing paused": (
                "GuestShutDown, StopOrdered(guest-powered-off, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.GUEST_RESET),
        {
            "launching spawned booting computing paused": (
                "GuestShutDown, StopOrdered(guest-rebooted, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.GUEST_PANIC),
        {
            "launching spawned booting computing paused": (
                "GuestShutDown, StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.HOST_QUIT),
        {
            "launching spawned booting computing paused": (
                "GuestShutDown, StopOrdered(stopped-by-host, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.HOST_SIGNAL),
        {
            "launching spawned booting computing paused": (
                "GuestShutDown, StopOrdered(stopped-by-host, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestShutDown(0, ShutdownCause.UNKNOWN),
        {
            "launching spawned booting computing paused": (
                "GuestShutDown, StopOrdered(guest-powered-off, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestShutDown, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestShutDown",
        },
    ),
    Row(
        ob.GuestPanicked(0),
        {
            "launching spawned booting computing paused": (
                "GuestPanicked, StopOrdered(guest-panicked, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "GuestPanicked, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
            "quitting killing": "GuestPanicked",
        },
    ),
    Row(
        ob.GuestDiskFailed(0, "results", "write: no space left"),
        {
            "launching spawned booting computing paused asked quitting killing": "GuestDiskFailed",
        },
    ),
)
