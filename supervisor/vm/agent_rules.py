"""What a manifest may say of the guest's own agent: one that could never be ready is refused."""

from collections.abc import Iterator

from supervisor.vm.commands import FieldViolation
from supervisor.vm.field_rules import check_label
from supervisor.vm.guest_agent import ConsoleReady, OwnAgent, PortReady
from supervisor.vm.network_rules import PORT_MOST, PORT_TAKES
from supervisor.vm.spec import Manifest, NetworkMode

LINE_CHARACTERS = 256


def agent_violations(manifest: Manifest) -> Iterator[FieldViolation]:
    """Yield what is wrong with an agent of the guest's own, under the names of its fields."""
    agent = manifest.agent
    if not isinstance(agent, OwnAgent):
        return
    if agent.port is None and isinstance(agent.ready, PortReady):
        told = "waits for a port, and there is none: give agent.port, or a line of the console"
        yield FieldViolation("agent.ready", told)
    if agent.port is not None:
        yield from _port(agent.port, manifest.network.mode)
    if isinstance(agent.ready, ConsoleReady):
        yield from check_label("agent.ready.line", agent.ready.line, 1, LINE_CHARACTERS)


def _port(port: int, mode: NetworkMode) -> Iterator[FieldViolation]:
    if not 1 <= port <= PORT_MOST:
        yield FieldViolation("agent.port", f"got {port}; it takes {PORT_TAKES}")
    if mode is NetworkMode.NONE:
        takes = 'it takes "restricted" or "user", or the agent\'s port cannot be reached'
        yield FieldViolation("network.mode", f'got "{mode.value}"; {takes}')
