"""The operator's word on what guests may reach, and through which ports they are reached."""

import msgspec
import pytest

from supervisor.admission.network import check_network
from supervisor.config import Capacity, Networking, PortRange
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.spec import Forward, Manifest, Network, NetworkMode
from tests.vm.states import MANIFEST

STRICT = Capacity(forward_ports=PortRange(1, 9))
LIBERAL = msgspec.structs.replace(STRICT, networking=Networking.UNRESTRICTED)


def asking(mode: NetworkMode, *forwards: Forward) -> Manifest:
    return msgspec.structs.replace(MANIFEST, network=Network(mode, forwards))


@pytest.mark.parametrize("mode", [NetworkMode.NONE, NetworkMode.RESTRICTED])
def test_a_guest_that_reaches_nothing_needs_no_permission(mode: NetworkMode) -> None:
    check_network(asking(mode), STRICT)


def test_an_unrestricted_network_is_the_operators_to_give() -> None:
    with pytest.raises(CommandDenied) as denied:
        check_network(asking(NetworkMode.USER), STRICT)
    assert denied.value.reason is DenyReason.PERMISSION_DENIED
    assert "serve --allow-unrestricted-network" in denied.value.detail
    check_network(asking(NetworkMode.USER), LIBERAL)


@pytest.mark.parametrize("port", [None, 1, 9])
def test_a_host_port_of_the_range_may_be_asked_for(port: int | None) -> None:
    check_network(asking(NetworkMode.RESTRICTED, Forward(80, port)), STRICT)


@pytest.mark.parametrize("capacity", [STRICT, LIBERAL])
def test_any_other_host_port_is_refused_by_its_field(capacity: Capacity) -> None:
    manifest = asking(NetworkMode.RESTRICTED, Forward(80, 5), Forward(81, 10))
    with pytest.raises(CommandDenied) as denied:
        check_network(manifest, capacity)
    assert denied.value.reason is DenyReason.INVALID_MANIFEST
    (violation,) = denied.value.violations
    assert violation.field == "network.forwards[1].host_port"
    assert violation.description == "got 10; it takes 1-9"
