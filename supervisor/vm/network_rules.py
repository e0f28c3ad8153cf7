"""What a manifest may ask of the network, whatever the host then gives."""

from collections.abc import Iterator

from supervisor.vm.commands import FieldViolation
from supervisor.vm.spec import Forward, Network, NetworkMode

FORWARDS = 16
"""Each is a listening socket of QEMU; who needs more runs a proxy in the guest."""

PORT_MOST = 65_535
PORT_TAKES = f"1 to {PORT_MOST}"


def network_violations(network: Network) -> Iterator[FieldViolation]:
    """Yield what is wrong with a network, under the names of its fields."""
    if network.forwards and network.mode is NetworkMode.NONE:
        takes = 'it takes "restricted" or "user" where ports are forwarded'
        yield FieldViolation("network.mode", f'got "{network.mode.value}"; {takes}')
    if len(network.forwards) > FORWARDS:
        got = f"got {len(network.forwards)} entries; it takes 0 to {FORWARDS}"
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
