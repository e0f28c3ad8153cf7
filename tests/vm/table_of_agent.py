"""What every word of the guest's agent leads to in every state."""

from supervisor.vm import observations as ob
from tests.vm.tables import Row

AGENT_OBSERVATIONS = (
    Row(ob.GuestReady(0, ob.ReadyBy.PORT)),
    Row(
        ob.AgentReady(0, seq=9),
        {
            "booting": "AgentReady -> StartComputation",
            "computing sleeping resetting paused": "-> StartComputation",
        },
    ),
    Row(
        ob.AgentStarted(0, seq=9),
        {
            "booting": "ComputationStarted -> AcknowledgeAgent",
            "computing sleeping resetting paused asked quitting killing crashing": (
                "-> AcknowledgeAgent"
            ),
        },
    ),
    Row(
        ob.AgentProgress(0, 0.5, "half"),
        {
            "running paused": "ProgressReported",
        },
    ),
    Row(
        ob.AgentFinished(0, seq=9, exit_code=0, length=2048),
        {
            "running paused": (
                "ComputationFinished, StopOrdered(completed, quit) -> AcknowledgeAgent, "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "ComputationFinished, StopEscalated(quit) -> AcknowledgeAgent, ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "quitting": "-> AcknowledgeAgent",
            "killing crashing": "ComputationFinished -> AcknowledgeAgent",
        },
    ),
    Row(
        ob.AgentFinished(0, seq=9, exit_code=3, length=2048),
        {
            "running paused": (
                "ComputationFinished, StopOrdered(computation-failed, quit) -> AcknowledgeAgent, "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "ComputationFinished, StopEscalated(quit) -> AcknowledgeAgent, ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "quitting": "-> AcknowledgeAgent",
            "killing crashing": "ComputationFinished -> AcknowledgeAgent",
        },
    ),
    Row(
        ob.AgentFinished(0, seq=9, exit_code=127, length=0, error="no-python"),
        {
            "running paused": (
                "ComputationFinished, StopOrdered(computation-failed, quit) -> AcknowledgeAgent, "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "ComputationFinished, StopEscalated(quit) -> AcknowledgeAgent, ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "quitting": "-> AcknowledgeAgent",
            "killing crashing": "ComputationFinished -> AcknowledgeAgent",
        },
    ),
    Row(
        ob.AgentFinished(0, seq=9, exit_code=0, length=0, error="result-too-large"),
        {
            "running paused": (
                "ComputationFinished, StopOrdered(result-refused, quit) -> AcknowledgeAgent, "
                "ExecuteQmp(quit), ArmTimer(stop)"
            ),
            "asked": (
                "ComputationFinished, StopEscalated(quit) -> AcknowledgeAgent, ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "quitting": "-> AcknowledgeAgent",
            "killing crashing": "ComputationFinished -> AcknowledgeAgent",
        },
    ),
    Row(
        ob.AgentBrokeProtocol(0, "not JSON"),
        {
            "running paused": (
                "AgentBrokeProtocol, StopOrdered(agent-broke-protocol, quit) -> ExecuteQmp(quit), "
                "ArmTimer(stop)"
            ),
            "asked": "AgentBrokeProtocol, StopEscalated(quit) -> ExecuteQmp(quit), ArmTimer(stop)",
        },
    ),
)
