"""Where clients would come to: whether each address can be had, or a daemon of ours has it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from supervisor.api.listeners import CannotListen, bind_tcp, is_listened_on
from supervisor.config import Address, Config
from supervisor.config.values import PortRange
from supervisor.doctor.finding import Finding, fault, ok, warning
from supervisor.state_directory import StateDirectory

SUBJECT = "ports"
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def look_at_ports(config: Config) -> Iterator[Finding]:
    """Yield each address that is taken, or that all are free; then the ports of guests."""
    if _is_served(StateDirectory(config.state_dir).grpc_socket):
        yield ok(SUBJECT, f"a daemon serves {config.state_dir} now, and has its own")
    else:
        yield from _addresses(config.listen.addresses)
    yield from _forwards(config.capacity.forward_ports)


def _is_served(unix: Path) -> bool:
    """Return whether a daemon is there. Raises PermissionError where it may not be asked."""
    try:
        unix.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not os.access(unix, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(unix))
    return is_listened_on(unix)


def _addresses(listen: dict[str, Address]) -> Iterator[Finding]:
    obstacles = {key: why for key, address in listen.items() if (why := _obstacle(address))}
    for key, why in obstacles.items():
        says, _, fix = why.partition("; ")
        yield fault(SUBJECT, says, f"{key}: {fix}")
    if not obstacles:
        yield ok(SUBJECT, f"{', '.join(map(str, listen.values()))} are free")


def _obstacle(address: Address) -> str:
    try:
        bind_tcp(address).close()
    except CannotListen as why:
        return str(why)
    return ""


def _forwards(ports: PortRange) -> Iterator[Finding]:
    low, high = map(int, EPHEMERAL.read_text(encoding="ascii").split())
    if ports.low <= high and low <= ports.high:
        says = f"{ports} for guests are among {low}-{high}, which the system hands out itself"
        yield warning(SUBJECT, says, "set capacity.forward_ports to others")
