"""What the guest's agent says. It is believed about the computation and about nothing else."""

from typing import assert_never

from supervisor.vm import effects as fx
from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.decision import NOTHING, Decision, end_guest, tell
from supervisor.vm.state import STARTING, AgentStage, VmState

RESULT_TOO_LARGE = "result-too-large"
"""The agent's error code for a result that does not fit its disk (docs/agent-protocol.md)."""

AgentObservation = (
    ob.AgentReady | ob.AgentStarted | ob.AgentProgress | ob.AgentFinished | ob.AgentBrokeProtocol
)


def decide_agent(state: VmState, seen: AgentObservation, now_ms: int) -> Decision:
    """Return what follows from a word of the agent; words may be repeated by it at any time."""
    if state.phase in STARTING:
        return NOTHING  # heard before QMP's RESUME was; the agent repeats what matters
    match seen:
        case ob.AgentReady():
            return _ready(state)
        case ob.AgentStarted():
            return _started(state, seen)
        case ob.AgentProgress():
            return _progress(state, seen)
        case ob.AgentFinished():
            return _finished(state, seen, now_ms)
        case ob.AgentBrokeProtocol():
            return _broke_protocol(state, seen, now_ms)
    assert_never(seen)


def _ready(state: VmState) -> Decision:
    if state.ending:
        return NOTHING
    start = fx.StartComputation(state.launch_number)
    if state.current.agent is not AgentStage.ABSENT:
        return Decision(effects=(start,))
    ready = ev.AgentReady(state.launch_number)
    if not state.current.resets:
        return Decision((ready,), (start,))
    # The reset that was ordered is over: from now on a reboot is the guest's own again.
    forbid = fx.ExecuteQmp(state.launch_number, fx.QmpCommand.FORBID_REBOOT)
    return Decision((ready,), (forbid, start))


def _started(state: VmState, seen: ob.AgentStarted) -> Decision:
    acknowledge = fx.AcknowledgeAgent(seen.launch, seen.seq)
    if state.current.agent in (AgentStage.STARTED, AgentStage.FINISHED):
        return Decision(effects=(acknowledge,))
    return Decision((ev.ComputationStarted(seen.launch),), (acknowledge,))


def _progress(state: VmState, seen: ob.AgentProgress) -> Decision:
    if state.ending:
        return NOTHING
    return tell(state, ev.ProgressReported(seen.launch, seen.fraction, seen.message))


def _finished(state: VmState, seen: ob.AgentFinished, now_ms: int) -> Decision:
    acknowledge = fx.AcknowledgeAgent(seen.launch, seen.seq)
    if state.current.agent is AgentStage.FINISHED:
        return Decision(effects=(acknowledge,))
    finished = ev.ComputationFinished(
        seen.launch, seen.exit_code, seen.length, seen.error, seen.message
    )
    ending = end_guest(state, _outcome(seen), now_ms).after(finished)
    return Decision(ending.events, (acknowledge, *ending.effects))


def _broke_protocol(state: VmState, seen: ob.AgentBrokeProtocol, now_ms: int) -> Decision:
    ending = end_guest(state, ev.Outcome.AGENT_BROKE_PROTOCOL, now_ms)
    if not ending.events:
        return NOTHING  # it may go on as long as it lives, and the log must not grow with it
    return ending.after(ev.AgentBrokeProtocol(seen.launch, seen.detail))


def _outcome(seen: ob.AgentFinished) -> ev.Outcome:
    if seen.error == RESULT_TOO_LARGE:
        return ev.Outcome.RESULT_REFUSED
    failed = seen.error or seen.exit_code != 0
    return ev.Outcome.COMPUTATION_FAILED if failed else ev.Outcome.COMPLETED
