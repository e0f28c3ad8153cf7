"""The one schema of a manifest file: every field, what it takes, and its default.

The description in each annotation is the sentence that an error shows, so the schema and its
complaints cannot drift apart. Defaults are those of :mod:`supervisor.vm.spec`.
"""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from supervisor.vm.confidential import VERIFICATION_DEADLINE_MS, Verification, VmsaVariant
from supervisor.vm.spec import (
    REFERENCE_KERNEL,
    Accelerator,
    ForwardProtocol,
    Limits,
    Machine,
    Network,
    NetworkMode,
    RestartOn,
    RestartPolicy,
    VmShape,
)
from supervisor.written.quantities import (
    DURATION_TAKES,
    POLICY_TAKES,
    SIZE_TAKES,
    Duration,
    Policy,
    Size,
)

SHAPE = VmShape()
LIMITS = Limits()
RESTART = RestartPolicy()
NETWORK = Network()

Text = Annotated[str, Meta(description="text")]
Path = Annotated[str, Meta(min_length=1, description="a path, relative to the manifest file")]
Digest = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", description="64 lower-case hexadecimal digits (SHA-256)")
]
Count = Annotated[int, Meta(description="a whole number")]
Flag = Annotated[bool, Meta(description="true or false")]
HostPolicy = Annotated[Policy, Meta(description=POLICY_TAKES)]
Bytes = Annotated[Size, Meta(description=SIZE_TAKES)]
Time = Annotated[Duration, Meta(description=DURATION_TAKES)]


class ImageEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A kernel, a layer or a firmware: a local file, an uploaded artifact, or a catalogue name."""

    path: Path | None = None
    sha256: Digest | None = None
    name: Text | None = None


Image = Annotated[
    str | ImageEntry, Meta(description='a catalogue name, or a table such as {path = "vmlinuz"}')
]


class AlgorithmSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The program; with both ``path`` and ``sha256`` the file must have that digest."""

    path: Path | None = None
    sha256: Digest | None = None
    provider: Text = ""
    arguments: tuple[Text, ...] = ()
    encryption: Text = ""
    id: Text = ""


class DatasetEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One input file, which the algorithm finds under ``name``."""

    name: Text
    path: Path | None = None
    sha256: Digest | None = None
    provider: Text = ""
    encryption: Text = ""
    id: Text = ""


class VmSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The virtual machine; ``initrd`` left out means the reference layers that are needed."""

    cpus: Count = SHAPE.cpus
    memory: Bytes = Size(SHAPE.memory_bytes)
    machine: Machine = SHAPE.machine
    accel: Accelerator = SHAPE.accel
    kernel: Image = REFERENCE_KERNEL
    initrd: tuple[Image, ...] | None = None
    firmware: Image | None = None
    firmware_vars: Image | None = None
    command_line: Text = SHAPE.command_line
    watchdog: Flag = SHAPE.watchdog


class LimitsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of one computation."""

    ttl: Time = Duration(LIMITS.ttl_ms)
    launch_deadline: Time = Duration(LIMITS.launch_deadline_ms)
    stop_grace: Time = Duration(LIMITS.stop_grace_ms)
    result_size: Bytes = Size(LIMITS.result_bytes)
    log_size: Bytes = Size(LIMITS.log_bytes)
    inputs_deadline: Time = Duration(LIMITS.inputs_deadline_ms)


class RestartSection(Struct, frozen=True, forbid_unknown_fields=True):
    """When the computation is launched again by itself."""

    policy: RestartOn = RESTART.policy
    max_restarts: Count = RESTART.max_restarts
    period: Time = Duration(RESTART.period_ms)
    backoff: Time = Duration(RESTART.backoff_ms)
    backoff_max: Time = Duration(RESTART.backoff_max_ms)


class ForwardEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A port of the guest that is reached through one of the host."""

    guest_port: Count
    host_port: Count | None = None
    protocol: ForwardProtocol = ForwardProtocol.TCP


class NetworkSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What the guest reaches, and how it is reached."""

    mode: NetworkMode = NETWORK.mode
    forwards: tuple[ForwardEntry, ...] = ()


class ConfidentialKind(Enum):
    """What keeps the host out of the guest."""

    SEV = "sev"
    SEV_ES = "sev-es"
    SNP = "snp"


class ConfidentialSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What keeps the host out of the guest; ``session`` is the directory of `sev session`."""

    kind: ConfidentialKind
    policy: HostPolicy | None = None
    session: Path | None = None
    expected_digest: Text = ""
    verification: Verification = Verification.OWNER
    deadline: Time = Duration(VERIFICATION_DEADLINE_MS)
    vmsa_variant: VmsaVariant | None = None
    id_block: Path | None = None
    id_auth: Path | None = None


class RecipientEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody for whom the guest encrypts its result."""

    name: Text
    public_key: Text


class AgentKind(Enum):
    """Who speaks for the guest."""

    REFERENCE = "reference"
    OWN = "own"


class ReadyWord(Enum):
    """What tells that the guest's own agent is ready, where one word says it."""

    PORT = "port"


class ConsoleEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the console, as a glob pattern, that tells that the agent is ready."""

    console: Text


ReadyEntry = Annotated[
    ReadyWord | ConsoleEntry, Meta(description='"port", or a table such as {console = "*login:*"}')
]


class AgentSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The guest's agent; ``port`` and ``ready`` are of one that the guest brings along.

    Without ``port`` it is 7002 where the port tells that the agent is ready, and else none.
    """

    kind: AgentKind
    port: Count | None = None
    ready: ReadyEntry = ReadyWord.PORT


class Draft(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole manifest as written, well-formed; its local files have not been looked at."""

    name: Text
    algorithm: AlgorithmSection = AlgorithmSection()
    description: Text = ""
    labels: dict[str, Text] = {}
    datasets: tuple[DatasetEntry, ...] = ()
    vm: VmSection = VmSection()
    limits: LimitsSection = LimitsSection()
    restart: RestartSection = RestartSection()
    network: NetworkSection | None = None
    confidential: ConfidentialSection | None = None
    result_recipients: tuple[RecipientEntry, ...] = ()
    result_consumers: tuple[Text, ...] = ()
    agent: AgentSection = AgentSection(AgentKind.REFERENCE)


CORE_NAMES = {
    "vm.memory_bytes": "vm.memory",
    "limits.ttl_ms": "limits.ttl",
    "limits.launch_deadline_ms": "limits.launch_deadline",
    "limits.stop_grace_ms": "limits.stop_grace",
    "limits.result_bytes": "limits.result_size",
    "limits.log_bytes": "limits.log_size",
    "limits.inputs_deadline_ms": "limits.inputs_deadline",
    "restart.period_ms": "restart.period",
    "restart.backoff_ms": "restart.backoff",
    "restart.backoff_max_ms": "restart.backoff_max",
}
"""Where the core's name of a field differs from the one that people write."""
