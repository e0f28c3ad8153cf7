"""What every command leads to in every state."""

from supervisor.vm.commands import Delete, Kill, Pause, Reset, Resume, Stop
from tests.vm.tables import Row

COMMANDS = (
    Row(
        Stop(),
        {
            "defined": "VmStopped(stopped-by-client)",
            "launching spawned booting paused": (
                "StopOrdered(stopped-by-client, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "computing": (
                "StopOrdered(stopped-by-client, ask-guest) -> StopComputation, "
                "ExecuteQmp(system_powerdown), ArmTimer(stop)"
            ),
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Kill(),
        {
            "defined": "VmStopped(killed-by-client)",
            "launching spawned booting computing paused": (
                "StopOrdered(killed-by-client, kill) -> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
            "asked quitting": "StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Pause(),
        {
            "defined launching spawned asked quitting killing collecting": "denied: wrong-phase",
            "stopped failed deleting": "denied: wrong-phase",
            "booting computing": "PauseOrdered -> ExecuteQmp(stop)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Resume(),
        {
            "defined launching spawned asked quitting killing collecting": "denied: wrong-phase",
            "stopped failed deleting": "denied: wrong-phase",
            "paused": "ResumeOrdered -> ExecuteQmp(cont)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Reset(),
        {
            "defined launching spawned asked quitting killing collecting": "denied: wrong-phase",
            "stopped failed deleting": "denied: wrong-phase",
            "booting computing paused": "ResetOrdered -> ExecuteQmp(system_reset)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Delete(),
        {
            "defined launching spawned booting computing paused": "denied: wrong-phase",
            "asked quitting killing collecting": "denied: wrong-phase",
            "stopped failed": "DeleteOrdered -> RemoveFiles",
            "deleting": "-> RemoveFiles",
            "deleted": "denied: vm-unknown",
        },
    ),
)
