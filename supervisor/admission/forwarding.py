"""The host's ports that lead into guests: which there are, and which can be had now.

Forwards are bound on 127.0.0.1 only. A port that a program outside of our care listens on is found
by listening there ourselves, for a moment and in the way that QEMU does.
"""

import socket
from collections.abc import Callable, Collection, Sequence

from supervisor.config import PortRange
from supervisor.vm.qemu_argv import FORWARD_ADDRESS
from supervisor.vm.spec import Forward


class NetworkUnavailable(Exception):
    """A launch cannot have the network that it needs; the message says why, and names a port."""


class HostPorts:
    """Chooses ports. Which of them VMs hold is not its business: it is told at each choice."""

    def __init__(self, ports: PortRange, can_listen: Callable[[int], bool]) -> None:
        self._ports = ports
        self._can_listen = can_listen
        self._next = ports.low

    def choose(self, forwards: Sequence[Forward], held: Collection[int]) -> tuple[int, ...]:
        """Return a port for each forward, none of them ``held``. Raises NetworkUnavailable."""
        chosen = {
            index: self._asked_for(forward.host_port, held)
            for index, forward in enumerate(forwards)
            if forward.host_port is not None
        }
        for index in range(len(forwards)):
            if index not in chosen:
                chosen[index] = self._any({*held, *chosen.values()})
        return tuple(chosen[index] for index in range(len(forwards)))

    def _asked_for(self, port: int, held: Collection[int]) -> int:
        if port not in self._ports:
            raise NetworkUnavailable(f"host port {port} is not one of {self._ports}")
        if port in held:
            raise NetworkUnavailable(f"host port {port} is held by another VM")
        if not self._can_listen(port):
            raise NetworkUnavailable(f"another program listens on host port {port}")
        return port

    def _any(self, held: Collection[int]) -> int:
        # One after another: whoever still knows the port of a VM that ended meets nobody there.
        count = self._ports.high - self._ports.low + 1
        for offset in range(count):
            port = self._ports.low + (self._next - self._ports.low + offset) % count
            if port not in held and self._can_listen(port):
                self._next = port + 1
                return port
        raise NetworkUnavailable(f"none of the host ports {self._ports} is free")


def can_listen(port: int) -> bool:
    """Whether nobody listens on a port of the forwards' address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As QEMU does: without it, what is left of a closed connection would count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((FORWARD_ADDRESS, port))
            probe.listen(1)
        except OSError:
            return False
    return True
