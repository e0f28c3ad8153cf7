"""Values of the configuration that have a spelling of their own, and how each is read.

A parser raises ValueError for what it does not take; what it takes is told by the schema.
"""

import ipaddress
import re
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

PORT_MOST = 65_535
ADDRESS_TAKES = f"HOST:PORT with a port of 0 to {PORT_MOST}"
UNIX_PREFIX = "unix:"
UNIX_SOCKET_TAKES = "unix:PATH; an address of TCP is given with --grpc"
TRACES_PATH = "/v1/traces"
"""Where a collector takes them, if its address does not say otherwise (OTLP, section OTLP/HTTP)."""
ENDPOINT_TAKES = "an URL such as http://HOST:4318, without a user, a query or a fragment"
PORT_RANGE_TAKES = f"LOW-HIGH with ports of 1 to {PORT_MOST}"

_PORT = re.compile(r"[0-9]{1,5}")
_RANGE = re.compile(r"(?P<low>[0-9]{1,5})-(?P<high>[0-9]{1,5})")


class Address(msgspec.Struct, frozen=True):
    """A TCP address to listen on; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it. A name other than localhost may mean anything."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class UnixSocket(msgspec.Struct, frozen=True):
    """A Unix socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"{UNIX_PREFIX}{self.path}"


class PortRange(msgspec.Struct, frozen=True):
    """Ports of the host, both ends included."""

    low: int
    high: int

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


class Networking(Enum):
    """What manifests may ask for: guests that are only reached, or that reach the host too."""

    RESTRICTED = "restricted"
    UNRESTRICTED = "unrestricted"


class LogLevel(Enum):
    """From which weight on the daemon tells what it does."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """For whom the daemon tells it: people, or programs."""

    CONSOLE = "console"
    JSON = "json"


def parse_address(written: str) -> Address:
    """Return an address such as "127.0.0.1:7001" or "[::1]:7001"."""
    host, _, port = written.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or _PORT.fullmatch(port) is None or int(port) > PORT_MOST:
        raise ValueError("not an address")
    return Address(host, int(port))


def parse_unix_socket(written: str) -> UnixSocket:
    """Return a socket such as "unix:/run/chronovisor/grpc.sock"."""
    path = written.removeprefix(UNIX_PREFIX)
    if path == written:
        raise ValueError("not a Unix socket")
    return UnixSocket(parse_path(path))


def parse_port_range(written: str) -> PortRange:
    """Return ports such as "20000-20999"."""
    match = _RANGE.fullmatch(written)
    if match is not None:
        low, high = int(match["low"]), int(match["high"])
        if 1 <= low <= high <= PORT_MOST:
            return PortRange(low, high)
    raise ValueError("not a range of ports")


def parse_endpoint(written: str) -> str:
    """Return the URL of a collector, with a path: "http://localhost:4318/v1/traces"."""
    url = urlsplit(written)
    if url.scheme not in ("http", "https") or not url.hostname or not written.isprintable():
        raise ValueError("not an URL")
    if " " in written or "@" in url.netloc or url.query or url.fragment or url.port == 0:
        raise ValueError("not an URL that this setting takes")
    return url._replace(path=url.path if url.path.strip("/") else TRACES_PATH).geturl()


def parse_path(written: str) -> Path:
    """Return a path; a tilde is the home directory, as in a shell."""
    if not written or not written.isprintable():
        raise ValueError("not a path")
    return Path(written).expanduser()


def placed(value: object, directory: Path) -> object:
    """Return a value whose path, if it is or has one, is taken from ``directory`` on."""
    match value:
        case Path():
            return directory.absolute() / value
        case UnixSocket(path=path):
            return UnixSocket(directory.absolute() / path)
    return value
