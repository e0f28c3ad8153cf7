"""A machine of the Cocos manager -> a manifest: the operator's images, and an agent of their own.

What the agent is to know lies among the inputs, as files of the names under which the older manager
shared them. An artifact keeps them: the log holds their digests, and never a key.
"""

from collections.abc import Iterator, Mapping

import msgspec

from supervisor.cocos.durations import GO_DURATION_TAKES, parse_go_duration
from supervisor.vm.commands import FieldViolation
from supervisor.vm.guest_agent import AGENT_TCP_PORT, OwnAgent
from supervisor.vm.ranges import range_of
from supervisor.vm.spec import (
    GIB,
    ByName,
    Dataset,
    Limits,
    Manifest,
    Network,
    NetworkMode,
    VmShape,
)
from supervisor.written.examine import shown

KERNEL = "cocos-kernel"
ROOTFS = "cocos-rootfs"
"""Under which names the operator's catalogue has the guest's images."""

NAME = "cocos-cvm"
SHAPE = VmShape(cpus=4, memory_bytes=2 * GIB, kernel=ByName(KERNEL), initrd=(ByName(ROOTFS),))
"""As large as the older manager made them."""

TTL = range_of("limits.ttl_ms")
VALUE_CHARACTERS = 2048
"""A URL that browsers take is shorter."""
PEM_BYTES = 64 * 1024
"""A chain of a dozen certificates."""

ENVIRONMENT = "environment"


class AgentConfig(msgspec.Struct, frozen=True):
    """What the guest's agent is told; what is empty it is not told."""

    log_level: str = ""
    server_url: str = ""
    ca_url: str = ""
    server_ca_cert: bytes = b""
    client_cert: bytes = b""
    client_key: bytes = b""

    def __repr__(self) -> str:
        return f"AgentConfig(server_url={self.server_url!r})"

    @property
    def variables(self) -> dict[str, str]:
        """The agent's environment."""
        return {
            "AGENT_LOG_LEVEL": self.log_level,
            "AGENT_CVM_GRPC_URL": self.server_url,
            "AGENT_CVM_CA_URL": self.ca_url,
        }

    @property
    def files(self) -> dict[str, bytes]:
        """What the guest finds among its inputs, by name."""
        lines = [f"{name}={value}\n" for name, value in self.variables.items() if value]
        named = {
            ENVIRONMENT: "".join(lines).encode(),
            "ca.pem": self.server_ca_cert,
            "cert.pem": self.client_cert,
            "key.pem": self.client_key,
        }
        return {name: content for name, content in named.items() if content}


def violations(config: AgentConfig, ttl: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with a request for a machine, under the names of its fields."""
    lines = (
        ("agent_log_level", config.log_level),
        ("agent_cvm_server_url", config.server_url),
        ("agent_cvm_ca_url", config.ca_url),
    )
    for field, value in lines:
        if len(value) > VALUE_CHARACTERS or not value.isprintable():
            takes = f"it takes at most {VALUE_CHARACTERS} printable characters"
            yield FieldViolation(field, f"got {shown(value)}; {takes}")
    pems = (
        ("agent_cvm_server_ca_cert", config.server_ca_cert),
        ("agent_cvm_client_key", config.client_key),
        ("agent_cvm_client_cert", config.client_cert),
    )
    for field, content in pems:
        if len(content) > PEM_BYTES:
            yield FieldViolation(field, f"got {len(content)} bytes; it takes at most {PEM_BYTES}")
    yield from _ttl_violations(ttl)


def _ttl_violations(ttl: str) -> Iterator[FieldViolation]:
    try:
        takes = TTL.takes_instead_of(_ttl_ms(ttl))
    except ValueError:
        takes = GO_DURATION_TAKES
    if takes:
        yield FieldViolation("ttl", f"got {shown(ttl)}; it takes {takes}")


def _ttl_ms(ttl: str) -> int:
    return parse_go_duration(ttl) if ttl else TTL.greatest


def machine(config: AgentConfig, stored: Mapping[str, str], ttl: str) -> Manifest:
    """Return the manifest of a machine whose files are ``stored``: their digests by name."""
    # An agent that is told of a server calls it; any other is only called.
    mode = NetworkMode.USER if config.server_url else NetworkMode.RESTRICTED
    return Manifest(
        name=NAME,
        datasets=tuple(Dataset(name, sha256) for name, sha256 in stored.items()),
        vm=SHAPE,
        limits=Limits(ttl_ms=_ttl_ms(ttl)),
        network=Network(mode),
        agent=OwnAgent(AGENT_TCP_PORT),
    )
