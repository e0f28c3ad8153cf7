"""What a manifest may ask of the network, whatever the host then gives."""

from collections.abc import Iterator

import msgspec

from supervisor.vm.commands import FieldViolation
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.spec import Forward, Manifest, Network, NetworkMode

FORWARDS = 16
"""Each is a listening socket of QEMU; who needs more runs a proxy in the guest."""

PORT_MOST = 65_535
PORT_TAKES = f"1 to {PORT_MOST}"


def whole_network(manifest: Manifest) -> Network:
    """Return the network with the port of the guest's own agent among its forwards."""
    network, agent = manifest.network, manifest.agent
    named = {forward.guest_port for forward in network.forwards}
    if not isinstance(agent, OwnAgent) or agent.port is None or agent.port in named:
        return network
    return msgspec.structs.replace(network, forwards=(*network.forwards, Forward(agent.port)))


def network_violations(manifest: Manifest) -> Iterator[FieldViolation]:
    """Yield what is wrong with a network, under the names of its fields."""
    network = manifest.network
    if network.forwards and network.mode is NetworkMode.NONE:
        takes = 'it takes "restricted" or "user" where ports are forwarded'
        yield FieldViolation("network.mode", f'got "{network.mode.value}"; {takes}')
    count = len(whole_network(manifest).forwards)
    if count > FORWARDS:
        got = f"got {count} entries; it takes 0 to {FORWARDS}"
        yield FieldViolation("network.forwards", got)
    seen: set[tuple[str, int]] = set()
    for index, forward in enumerate(network.forwards[:FORWARDS]):
        for name, port in _ports(forward):
            field = f"network.forwards[{index}].{name}"
            if not 1 <= port <= PORT_MOST:
                yield FieldViolation(field, f"got {port}; it takes {PORT_TAKES}")
            elif (name, port) in seen:
                yield FieldViolation(field, f"got {port}; it takes a port that no other has")
            seen.add((name, port))


def _ports(forward: Forward) -> Iterator[tuple[str, int]]:
    yield "guest_port", forward.guest_port
    if forward.host_port is not None:
        yield "host_port", forward.host_port
