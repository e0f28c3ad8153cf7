"""Whether a network is given that a manifest asks for: the operator's word, not the client's."""

from supervisor.config import Capacity, Networking
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.spec import Manifest, NetworkMode

NOT_GIVEN = (
    'network.mode: this host gives no guest an unrestricted network; take mode "restricted", '
    "or ask its operator for serve --allow-unrestricted-network"
)


def is_given(mode: NetworkMode, capacity: Capacity) -> bool:
    """Whether a guest may have this network; an unrestricted one reaches the host's loopback."""
    return mode is not NetworkMode.USER or capacity.networking is Networking.UNRESTRICTED


def check_network(manifest: Manifest, capacity: Capacity) -> None:
    """Raise CommandDenied for a network that this host does not give."""
    network = manifest.network
    if not is_given(network.mode, capacity):
        raise CommandDenied(DenyReason.PERMISSION_DENIED, NOT_GIVEN)
    ports = capacity.forward_ports
    outside = tuple(
        FieldViolation(
            f"network.forwards[{index}].host_port", f"got {forward.host_port}; it takes {ports}"
        )
        for index, forward in enumerate(network.forwards)
        if forward.host_port is not None and forward.host_port not in ports
    )
    if outside:
        detail = "; ".join(f"{each.field}: {each.description}" for each in outside)
        raise CommandDenied(DenyReason.INVALID_MANIFEST, detail, outside)
