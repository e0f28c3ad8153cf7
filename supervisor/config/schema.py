"""The one schema of everything that `serve` takes, with its defaults.

Each annotation says what a setting takes, as an error shows it, and what it is for, as help and
`docs/configuration.md` show it. A setting stands here only together with the code that obeys it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from supervisor.config.values import (
    ADDRESS_TAKES,
    ENDPOINT_TAKES,
    PORT_RANGE_TAKES,
    UNIX_SOCKET_TAKES,
    Address,
    LogFormat,
    LogLevel,
    Networking,
    PortRange,
    UnixSocket,
    parse_address,
    parse_endpoint,
    parse_path,
    parse_port_range,
    parse_unix_socket,
)

LOOPBACK = "127.0.0.1"
GRPC_PORT = 7001
HTTP_PORT = 9021
WEBSOCKET_PORT = 9022

MAX_RUNNING = 256
"""The daemon holds three descriptors of each running VM, and systems commonly let a program have
1,024: a quarter of them is left for clients, uploads and the log."""

MAX_VMS = 10_000
"""Those that ended count until they are deleted: each has an actor and some 20 KiB of memory."""

FORWARD_PORTS = PortRange(20_000, 20_999)
"""Below the ports that Linux hands out by itself (32768-60999), above those of known services."""

COUNT_TAKES = "a whole number from 1 on"
PATH_TAKES = "a path"


class About(Struct, frozen=True):
    """What people are told of a setting, and how it is spelled.

    ``flag`` is empty where its key makes the flag; ``stands_for`` is what a flag without a value
    says. ``default`` is told where the schema holds none to show.
    """

    help: str
    parse: Callable[[str], object] | None = None
    flag: str = ""
    metavar: str = ""
    stands_for: str = ""
    default: str = ""


Count = Annotated[int, Meta(ge=1, description=COUNT_TAKES)]


def setting(about: About, takes: str = "") -> Meta:
    """Return the annotation of a setting."""
    return Meta(description=takes or None, extra={"about": about})


def _address(what: str, flag: str) -> Meta:
    told = f"Where {what}; port 0 takes a free one."
    return setting(About(told, parse_address, flag, "HOST:PORT"), ADDRESS_TAKES)


def _path(told: str, *, flag: str = "", metavar: str = "FILE", default: str = "none") -> Meta:
    return setting(About(told, parse_path, flag, metavar, default=default), PATH_TAKES)


def _count(told: str, flag: str, default: str = "") -> Meta:
    return setting(About(told, None, flag, "N", default=default), COUNT_TAKES)


class Listen(Struct, frozen=True):
    """Where clients come to; addresses other than loopback need TLS and tokens."""

    grpc: Annotated[
        Address, _address("gRPC listens besides the Unix socket in the state directory", "--grpc")
    ] = Address(LOOPBACK, GRPC_PORT)
    http: Annotated[Address, _address("HTTP listens, with health and metrics", "--http")] = Address(
        LOOPBACK, HTTP_PORT
    )
    websocket: Annotated[Address, _address("the WebSocket of events listens", "--ws")] = Address(
        LOOPBACK, WEBSOCKET_PORT
    )
    unix: Annotated[
        UnixSocket | None,
        setting(
            About(
                "One more Unix socket where gRPC listens, for the same users.",
                parse_unix_socket,
                "--listen",
                "unix:PATH",
                default="none",
            ),
            UNIX_SOCKET_TAKES,
        ),
    ] = None

    @property
    def addresses(self) -> dict[str, Address]:
        """The addresses of TCP, by the keys of their settings."""
        return {
            "listen.grpc": self.grpc,
            "listen.http": self.http,
            "listen.websocket": self.websocket,
        }


class Tls(Struct, frozen=True):
    """Who the daemon proves to be, and whose certificates it takes: PEM files."""

    certificate: Annotated[
        Path | None, _path("The daemon's certificate and the chain above it, PEM.")
    ] = None
    key: Annotated[Path | None, _path("The certificate's private key, PEM, mode 0600.")] = None
    client_ca: Annotated[
        Path | None, _path("Clients must show a certificate that one of these signed, PEM.")
    ] = None


class Log(Struct, frozen=True):
    """What the daemon tells of its own work, on stderr."""

    level: Annotated[
        LogLevel, setting(About("From which weight on.", metavar="debug|info|warning|error"))
    ] = LogLevel.INFO
    format: Annotated[
        LogFormat,
        setting(About("Lines for people, or JSON objects for programs.", metavar="console|json")),
    ] = LogFormat.CONSOLE


class Telemetry(Struct, frozen=True):
    """Who else is told what the daemon does; nobody, unless it is said here."""

    traces: Annotated[
        str | None,
        setting(
            About(
                "The OpenTelemetry collector that traces are sent to, by OTLP over HTTP.",
                parse_endpoint,
                metavar="URL",
                default="none",
            ),
            ENDPOINT_TAKES,
        ),
    ] = None


class Capacity(Struct, frozen=True):
    """What VMs may have, all together and of the network.

    ``max_vms`` counts every VM that was not deleted, ``max_vms_per_principal`` those that one
    principal submitted; None for no such limit.
    """

    max_running: Annotated[
        Count, _count("How many VMs have a QEMU at a time; others wait.", "--max-running")
    ] = MAX_RUNNING
    max_vms: Annotated[
        Count,
        _count("How many VMs there are; those that ended count until deleted.", "--max-vms"),
    ] = MAX_VMS
    max_vms_per_principal: Annotated[
        Count | None,
        _count("The same, of the VMs of one principal.", "--max-vms-per-principal", "no limit"),
    ] = None
    max_requests_per_second: Annotated[
        Count | None,
        _count(
            "Requests that one principal may make, for good; twice as many at once.",
            "--max-requests-per-second",
            "no limit",
        ),
    ] = None
    forward_ports: Annotated[
        PortRange,
        setting(
            About(
                "Ports of 127.0.0.1 that manifests may have forwarded into guests.",
                parse_port_range,
                "--forward-ports",
                "LOW-HIGH",
            ),
            PORT_RANGE_TAKES,
        ),
    ] = FORWARD_PORTS
    networking: Annotated[
        Networking,
        setting(
            About(
                "Unrestricted: manifests may ask for guests that reach what this host reaches, "
                "services on its loopback too.",
                flag="--allow-unrestricted-network",
                stands_for=Networking.UNRESTRICTED.value,
            )
        ),
    ] = Networking.RESTRICTED


class Config(Struct, frozen=True):
    """One daemon.

    ``stop_vms``: end the VMs with the daemon in place of leaving them running. ``set_aside``: VMs
    that are left as they are, unattended. ``qemu_user``: who QEMU runs as when root runs the
    daemon. ``fault_plan``: make it fail on purpose (docs/fault-injection.md).
    """

    state_dir: Annotated[
        Path,
        _path(
            "Directory of the log, the VMs and the Unix socket.",
            metavar="DIR",
            default="/var/lib/chronovisor for root, else chronovisor in $XDG_STATE_HOME",
        ),
    ]
    catalogue: Annotated[
        Path,
        _path(
            "Directory of the guests that manifests may name.",
            metavar="DIR",
            default="/var/lib/chronovisor/guest for root, else chronovisor/guest in $XDG_DATA_HOME",
        ),
    ]
    listen: Listen = Listen()
    tls: Tls = Tls()
    tokens: Annotated[Path | None, _path("The bearer tokens of clients, hashed, mode 0600.")] = None
    log: Log = Log()
    telemetry: Telemetry = Telemetry()
    capacity: Capacity = Capacity()
    qemu_user: Annotated[
        str | None,
        setting(
            About(
                "When root runs the daemon: the user that QEMU runs as.",
                metavar="NAME",
                default="chronovisor-qemu, or nobody where there is no such user",
            ),
            "the name of a user",
        ),
    ] = None
    set_aside: Annotated[
        tuple[str, ...],
        setting(
            About(
                "VMs to leave as they are, unattended, where attending ends the daemon.",
                metavar="ID",
                default="none",
            ),
            "a list of VMs",
        ),
    ] = ()
    stop_vms: Annotated[
        bool, setting(About("Stop the VMs together with the daemon.", stands_for="true"))
    ] = False
    fault_plan: Annotated[
        Path | None,
        _path("Make the daemon fail as FILE says, to test its clients. Never for real work."),
    ] = None
