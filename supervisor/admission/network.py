"""Whether a network is given that a manifest asks for: the operator's word, not the client's."""

from supervisor.config import Config, Networking
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
from supervisor.vm.spec import Manifest, NetworkMode


def check_network(manifest: Manifest, config: Config) -> None:
    """Raise CommandDenied for a network that this host does not give."""
    network = manifest.network
    unrestricted = config.networking is Networking.UNRESTRICTED
    if network.mode is NetworkMode.USER and not unrestricted:
        # An unrestricted guest reaches every service on the host's loopback.
        detail = (
            "network.mode: this host gives no guest an unrestricted network; take mode "
            '"restricted", or ask its operator for serve --allow-unrestricted-network'
        )
        raise CommandDenied(DenyReason.PERMISSION_DENIED, detail)
    ports = config.capacity.forward_ports
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
