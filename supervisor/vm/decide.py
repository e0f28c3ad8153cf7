"""(state, message, now) -> events and effects: everything the supervisor ever decides about a VM.

Three rules. A command may be denied, and a repetition of one that is already obeyed is answered
with an empty decision. An observation is never denied: what cannot matter any more is ignored, and
what an earlier launch still says is recorded and never believed. Nothing here knows the time, the
disk or a process: ``now_ms`` is passed in, and work is returned.
"""

from typing import assert_never

from supervisor.vm import events as ev
from supervisor.vm import observations as ob
from supervisor.vm.attestation import AttestationObservation, decide_attestation
from supervisor.vm.commands import Command
from supervisor.vm.decide_agent import AgentObservation, decide_agent
from supervisor.vm.decide_command import decide_command
from supervisor.vm.decide_guest import GuestObservation, decide_guest
from supervisor.vm.decide_process import ProcessObservation, decide_process
from supervisor.vm.decision import NOTHING, Decision
from supervisor.vm.launching import BeforeLaunch, let_go
from supervisor.vm.own_agent import guest_ready
from supervisor.vm.state import ALIVE, Phase, VmState

OF_NEXT_LAUNCH = (ob.TimerKind.BACKOFF, ob.TimerKind.SESSION, ob.TimerKind.INPUTS)

Message = Command | ob.Observation


def decide(state: VmState, message: Message, now_ms: int) -> Decision:
    """Return what follows from ``message`` in ``state``.

    Raises CommandDenied for a command that may not be obeyed; never for an observation.
    """
    if isinstance(message, Command):
        return decide_command(state, message, now_ms)
    if state.phase is Phase.DELETED:
        return NOTHING  # its stream has ended
    if message.launch != _expected_launch(state, message):
        return _stale(state, message)
    if isinstance(message, ProcessObservation):
        return decide_process(state, message, now_ms)
    if not state.has_process:
        return NOTHING  # whatever is still on its way changes nothing
    if isinstance(message, GuestObservation):
        return decide_guest(state, message, now_ms)
    if isinstance(message, AgentObservation):
        return decide_agent(state, message, now_ms)
    if isinstance(message, ob.GuestReady):
        return guest_ready(state, message, now_ms)
    if isinstance(message, AttestationObservation):
        return decide_attestation(state, message, now_ms)
    assert_never(message)


def _expected_launch(state: VmState, observation: ob.Observation) -> int:
    match observation:
        case _ if isinstance(observation, BeforeLaunch):
            return state.next_launch
        case ob.TimerFired(kind=kind) if kind in OF_NEXT_LAUNCH and state.phase not in ALIVE:
            return state.next_launch
    return state.launch_number


def _stale(state: VmState, observation: ob.Observation) -> Decision:
    if isinstance(observation, ob.LaunchPrepared) and observation.launch > state.launch_number:
        return let_go(observation)
    kind = type(observation).__name__
    return Decision((ev.ObservationIgnored(observation.launch, kind, state.launch_number),))
