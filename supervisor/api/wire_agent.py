"""Who speaks for the guest <-> Protocol Buffers."""

import betterproto2
from chronovisor_api import v1

from supervisor.vm.commands import FieldViolation
from supervisor.vm.guest_agent import (
    Agent,
    ConsoleReady,
    OwnAgent,
    PortReady,
    Ready,
    ReferenceAgent,
)

FIELDS = {
    "agent.port": "agent.own.port",
    "agent.ready": "agent.own.ready",
    "agent.ready.line": "agent.own.console_ready.line",
}
"""Where the core's name of a field differs from the path in the message."""


def to_agent(message: v1.Agent | None, faults: list[FieldViolation]) -> Agent:
    """Return who speaks for a guest; what the core would not see is added to ``faults``."""
    if message is None:
        return ReferenceAgent()
    match betterproto2.which_one_of(message, "kind"):
        case _, v1.ReferenceAgent():
            return ReferenceAgent()
        case _, v1.OwnAgent() as own:
            return OwnAgent(own.port, _to_ready(own))
    faults.append(FieldViolation("agent", "names no agent: set reference or own"))
    return ReferenceAgent()


def _to_ready(own: v1.OwnAgent) -> Ready:
    match betterproto2.which_one_of(own, "ready"):
        case _, v1.ConsoleReady() as console:
            return ConsoleReady(console.line)
    return PortReady()


def from_agent(agent: Agent) -> v1.Agent:
    """Return who speaks for a guest, with every default written out."""
    match agent:
        case ReferenceAgent():
            return v1.Agent(reference=v1.ReferenceAgent())
        case OwnAgent(port, ConsoleReady(line)):
            return v1.Agent(own=v1.OwnAgent(port=port, console_ready=v1.ConsoleReady(line=line)))
        case OwnAgent(port):
            return v1.Agent(own=v1.OwnAgent(port=port, port_ready=v1.PortReady()))
