"""What every command leads to in every state."""

from supervisor.vm.commands import (
    ApproveLaunch,
    Delete,
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
from tests.vm.confidential_states import FIRST, INJECT, MEASUREMENT
from tests.vm.party_states import DATA
from tests.vm.tables import Row

FOR_CONFIDENTIAL = {
    "preparing alive collecting backoff ended": "denied: not-confidential",
    "deleted": "denied: vm-unknown",
}

COMMANDS = (
    Row(
        DATA,
        {
            "preparing alive collecting backoff ended": "denied: input-unknown",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(ProvideSession(FIRST), FOR_CONFIDENTIAL),
    Row(INJECT, FOR_CONFIDENTIAL),
    Row(ApproveLaunch(1, MEASUREMENT), FOR_CONFIDENTIAL),
    Row(RejectLaunch(1), FOR_CONFIDENTIAL),
    Row(RequestReport(bytes(16)), FOR_CONFIDENTIAL),
    Row(
        Start(),
        {
            "asked quitting killing crashing collecting deleting": "denied: wrong-phase",
            "backoff stopped failed": "StartOrdered -> ReleaseLaunch, Reserve",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Stop(),
        {
            "preparing backoff": "VmStopped(stopped-by-client)",
            "launching spawned booting sleeping paused": (
                "StopOrdered(stopped-by-client, quit) -> ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "computing resetting": (
                "StopOrdered(stopped-by-client, ask-guest) -> StopComputation, "
                "ExecuteQmp(system_powerdown), ArmTimer(stop)"
            ),
            "crashing": "RestartCancelled",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Kill(),
        {
            "preparing backoff": "VmStopped(killed-by-client)",
            "up": "StopOrdered(killed-by-client, kill) -> SignalProcess(SIGKILL), ArmTimer(stop)",
            "asked quitting": "StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)",
            "crashing": (
                "RestartCancelled, StopEscalated(kill) -> SignalProcess(SIGKILL), ArmTimer(stop)"
            ),
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Pause(),
        {
            "preparing launching spawned asked quitting killing crashing": "denied: wrong-phase",
            "collecting backoff ended": "denied: wrong-phase",
            "running": "PauseOrdered -> ExecuteQmp(stop)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Resume(),
        {
            "preparing launching spawned asked quitting killing crashing": "denied: wrong-phase",
            "collecting backoff ended": "denied: wrong-phase",
            "paused": "ResumeOrdered -> ExecuteQmp(cont)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Reset(),
        {
            "preparing launching spawned asked quitting killing crashing": "denied: wrong-phase",
            "collecting backoff ended": "denied: wrong-phase",
            "running paused": "ResetOrdered -> ExecuteQmp(system_reset)",
            "deleted": "denied: vm-unknown",
        },
    ),
    Row(
        Delete(),
        {
            "defined alive collecting again started": "denied: wrong-phase",
            "queued backoff": "VmStopped(stopped-by-client), DeleteOrdered -> RemoveFiles",
            "stopped failed": "DeleteOrdered -> RemoveFiles",
            "deleting": "-> RemoveFiles",
            "deleted": "denied: vm-unknown",
        },
    ),
)
