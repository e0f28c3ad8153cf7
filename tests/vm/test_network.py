"""The network of a manifest: what may be asked for, and what QEMU is then told."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.network_rules import FORWARDS, whole_network
from supervisor.vm.qemu_argv import qemu_argv
from supervisor.vm.rules import check
from supervisor.vm.spec import Forward, Network, NetworkMode
from tests.vm.states import DIRECTORY, IMAGES, MANIFEST

RESTRICTED, USER = NetworkMode.RESTRICTED, NetworkMode.USER


def wrong(network: Network) -> dict[str, str]:
    manifest = msgspec.structs.replace(MANIFEST, network=network)
    return {each.field: each.description for each in check(manifest)}


def argv(network: Network, *host_ports: int) -> tuple[str, ...]:
    return qemu_argv(
        msgspec.structs.replace(MANIFEST, network=network),
        vm_id="iris",
        launch=1,
        directory=DIRECTORY,
        images=IMAGES,
        accel="tcg",
        host_ports=host_ports,
    )


@pytest.mark.parametrize(
    "network",
    [
        Network(),
        Network(RESTRICTED),
        Network(USER, (Forward(1), Forward(65_535))),
        Network(RESTRICTED, (Forward(80, 80), Forward(443, 1))),
        Network(RESTRICTED, tuple(Forward(port) for port in range(1, FORWARDS + 1))),
    ],
)
def test_what_lies_within_the_limits_is_allowed(network: Network) -> None:
    assert wrong(network) == {}


@pytest.mark.parametrize(
    ("network", "field", "description"),
    [
        (
            Network(forwards=(Forward(80),)),
            "network.mode",
            'got "none"; it takes "restricted" or "user" where ports are forwarded',
        ),
        (
            Network(RESTRICTED, (Forward(0),)),
            "network.forwards[0].guest_port",
            "got 0; it takes 1 to 65535",
        ),
        (
            Network(RESTRICTED, (Forward(1), Forward(2, 65_536))),
            "network.forwards[1].host_port",
            "got 65536; it takes 1 to 65535",
        ),
        (
            Network(RESTRICTED, (Forward(80), Forward(80, 90))),
            "network.forwards[1].guest_port",
            "got 80; it takes a port that no other has",
        ),
        (
            Network(RESTRICTED, (Forward(80, 90), Forward(81, 90))),
            "network.forwards[1].host_port",
            "got 90; it takes a port that no other has",
        ),
        (
            Network(RESTRICTED, tuple(Forward(port) for port in range(1, FORWARDS + 2))),
            "network.forwards",
            "got 17 entries; it takes 0 to 16",
        ),
    ],
)
def test_what_lies_outside_is_named(network: Network, field: str, description: str) -> None:
    assert wrong(network) == {field: description}


def test_without_a_network_there_is_no_card() -> None:
    assert "-netdev" not in argv(Network())
    assert not any("virtio-net" in word for word in argv(Network()))


def test_a_restricted_guest_is_only_reached_and_only_from_this_host() -> None:
    words = argv(Network(RESTRICTED, (Forward(80), Forward(22, 20_001))), 20_000, 20_001)
    assert words[words.index("-netdev") + 1] == (
        "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:20000-:80,hostfwd=tcp:127.0.0.1:20001-:22"
    )
    (card,) = (json.loads(word) for word in words if "virtio-net-pci" in word)
    assert card["netdev"] == "net"


def test_the_port_of_an_agent_of_its_own_is_forwarded_as_if_it_were_named() -> None:
    manifest = msgspec.structs.replace(MANIFEST, agent=OwnAgent(7002))
    for named in ((), (Forward(80),)):
        reached = msgspec.structs.replace(manifest, network=Network(RESTRICTED, named))
        assert whole_network(reached) == Network(RESTRICTED, (*named, Forward(7002)))
    by_hand = Network(RESTRICTED, (Forward(7002, 20_005),))
    assert whole_network(msgspec.structs.replace(manifest, network=by_hand)) == by_hand


def test_an_unrestricted_guest_is_told_so() -> None:
    words = argv(Network(USER))
    assert words[words.index("-netdev") + 1] == "user,id=net,restrict=off"


@given(st.sampled_from([RESTRICTED, USER]), st.lists(st.integers(1, 65_535), max_size=5))
def test_no_forward_is_ever_bound_anywhere_else(mode: NetworkMode, ports: list[int]) -> None:
    forwards = tuple(Forward(port) for port in ports)
    words = argv(Network(mode, forwards), *ports)
    bound = [part for part in words[words.index("-netdev") + 1].split(",") if "hostfwd" in part]
    assert len(bound) == len(ports)
    assert all(part.startswith("hostfwd=tcp:127.0.0.1:") for part in bound)


def test_a_forward_without_its_port_is_never_left_away() -> None:
    with pytest.raises(ValueError, match="zip"):
        argv(Network(RESTRICTED, (Forward(80),)))
