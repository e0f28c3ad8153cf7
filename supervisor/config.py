"""What the daemon is told at its start, and where things lie when nobody says otherwise."""

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import msgspec

SYSTEM_HOME = Path("/var/lib/chronovisor")
"""State and data of a daemon that root runs; others keep theirs where XDG puts them."""

GRPC_PORT = 7001
HTTP_PORT = 9021
WEBSOCKET_PORT = 9022
LOOPBACK = "127.0.0.1"

QEMU_OWN_USER = "chronovisor-qemu"
"""Who QEMU runs as where root runs the daemon: a system user for this purpose alone."""
QEMU_SHARED_USER = "nobody"
"""Where there is no such user: harmless to the host, but others may run things as it too."""


class Address(msgspec.Struct, frozen=True):
    """A TCP address to listen on; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class PortRange(msgspec.Struct, frozen=True):
    """Ports of the host, both ends included."""

    low: int
    high: int

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


MAX_RUNNING = 256
"""The daemon holds three descriptors of each running VM, and systems commonly let a program have
1,024: a quarter of them is left for clients, uploads and the log."""

MAX_VMS = 10_000
"""Those that ended count until they are deleted: each has an actor and some 20 KiB of memory."""

FORWARD_PORTS = PortRange(20_000, 20_999)
"""Below the ports that Linux hands out by itself (32768-60999), above those of known services."""


class Networking(Enum):
    """What manifests may ask for: guests that are only reached, or that reach the host too."""

    RESTRICTED = "restricted"
    UNRESTRICTED = "unrestricted"


class Capacity(msgspec.Struct, frozen=True):
    """What VMs may have, all together and of the network.

    ``max_vms`` counts every VM that was not deleted, ``max_vms_per_principal`` those that one
    principal submitted; None for no such limit.
    """

    max_running: int = MAX_RUNNING
    max_vms: int = MAX_VMS
    max_vms_per_principal: int | None = None
    forward_ports: PortRange = FORWARD_PORTS
    networking: Networking = Networking.RESTRICTED


class Config(msgspec.Struct, frozen=True):
    """One daemon. ``stop_vms``: end the VMs with the daemon in place of leaving them running.

    ``set_aside``: VMs that are left as they are, unattended.

    ``qemu_user``: who QEMU runs as when root runs the daemon. ``fault_plan``: make it fail on
    purpose (docs/fault-injection.md).
    """

    state_dir: Path
    catalogue: Path
    grpc: Address = Address(LOOPBACK, GRPC_PORT)
    http: Address = Address(LOOPBACK, HTTP_PORT)
    websocket: Address = Address(LOOPBACK, WEBSOCKET_PORT)
    stop_vms: bool = False
    set_aside: frozenset[str] = frozenset()
    qemu_user: str | None = None
    capacity: Capacity = Capacity()
    fault_plan: Path | None = None


def default_state_dir(environment: Mapping[str, str], uid: int) -> Path:
    """Return where a user's daemon keeps its log, its VMs and its socket."""
    if uid == 0:
        return SYSTEM_HOME
    return _xdg(environment, "XDG_STATE_HOME", ".local/state") / "chronovisor"


def default_catalogue(environment: Mapping[str, str], uid: int) -> Path:
    """Return where a user's guests are built and looked for."""
    if uid == 0:
        return SYSTEM_HOME / "guest"
    return _xdg(environment, "XDG_DATA_HOME", ".local/share") / "chronovisor" / "guest"


def _xdg(environment: Mapping[str, str], variable: str, below_home: str) -> Path:
    # A relative path must be ignored (XDG Base Directory Specification).
    chosen = environment.get(variable, "")
    home = environment.get("HOME") or os.path.expanduser("~")
    return Path(chosen) if os.path.isabs(chosen) else Path(home) / below_home
