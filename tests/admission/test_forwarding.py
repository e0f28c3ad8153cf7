"""Which host ports are given: out of the range, free, and never twice."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.admission.forwarding import HostPorts, NetworkUnavailable, can_listen
from supervisor.config import PortRange
from supervisor.vm.spec import Forward

RANGE = PortRange(100, 109)


def forwards(*host_ports: int | None) -> tuple[Forward, ...]:
    return tuple(Forward(8000 + index, port) for index, port in enumerate(host_ports))


def nobody_listens(port: int) -> bool:
    return True


asked = st.lists(
    st.none() | st.integers(98, 111), max_size=6, unique_by=lambda port: port or object()
)
ports = st.sets(st.integers(100, 109))


@given(asked, ports, ports)
def test_ports_are_as_asked_for_or_free_ones_of_the_range(
    asked: list[int | None], held: set[int], strangers: set[int]
) -> None:
    usable = set(range(100, 110)) - held - strangers
    possible = set(asked) - {None} <= usable and len(asked) <= len(usable)
    desk = HostPorts(RANGE, lambda port: port not in strangers)
    try:
        chosen = desk.choose(forwards(*asked), held)
    except NetworkUnavailable:
        assert not possible
    else:
        assert len(chosen) == len(asked)
        assert set(chosen) <= usable
        assert all(want in (None, got) for want, got in zip(asked, chosen, strict=True))
        assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize(
    ("port", "why"),
    [
        (99, "host port 99 is not one of 100-109"),
        (101, "host port 101 is held by another VM"),
        (102, "another program listens on host port 102"),
    ],
)
def test_a_port_that_cannot_be_had_is_named_with_the_reason(port: int, why: str) -> None:
    desk = HostPorts(RANGE, lambda port: port != 102)
    with pytest.raises(NetworkUnavailable, match=why):
        desk.choose(forwards(port), {101})


def test_a_range_without_a_free_port_is_named() -> None:
    with pytest.raises(NetworkUnavailable, match="none of the host ports 100-109 is free"):
        HostPorts(RANGE, nobody_listens).choose(forwards(None), set(range(100, 110)))


def test_the_port_of_a_vm_that_ended_is_not_the_next_to_be_given() -> None:
    desk = HostPorts(RANGE, nobody_listens)
    assert [desk.choose(forwards(None), ())[0] for _ in range(12)] == [*range(100, 110), 100, 101]


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a program that has nothing to do with us."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_a_stranger_listens_on_is_passed_over(stranger: int) -> None:
    assert can_listen(stranger) is False
    desk = HostPorts(PortRange(stranger, stranger), can_listen)
    with pytest.raises(NetworkUnavailable):
        desk.choose(forwards(None), ())


def test_what_is_left_of_a_closed_connection_keeps_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            pass  # the server's side closes first, and its address stays in TIME_WAIT
    assert can_listen(port) is True
