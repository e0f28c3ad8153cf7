"""What a client submits, in its normalised form.

Every size is in bytes and every duration in milliseconds; the friendly spellings ("256M", "10m")
belong to :mod:`supervisor.manifest`. Images are named by digest or by a name in the operator's
catalogue, never by a path: a client that may choose paths may read any file of the host.
"""

from enum import Enum

import msgspec

from supervisor.vm.confidential import Confidential
from supervisor.vm.guest_agent import Agent, ReferenceAgent

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS

REFERENCE_KERNEL = "reference-kernel"
REFERENCE_BASE = "reference-base"
REFERENCE_PYTHON = "reference-python"


class Machine(Enum):
    """QEMU's machine models that the supervisor knows how to wire."""

    Q35 = "q35"
    PC = "pc"


class Accelerator(Enum):
    """How the guest's instructions are run; AUTO takes KVM only where it can work."""

    AUTO = "auto"
    TCG = "tcg"
    KVM = "kvm"


class ByDigest(msgspec.Struct, frozen=True, tag="sha256", tag_field="by"):
    """An uploaded artifact, by its SHA-256 in lower-case hexadecimal."""

    sha256: str


class ByName(msgspec.Struct, frozen=True, tag="name", tag_field="by"):
    """An entry of the operator's catalogue."""

    name: str


ImageRef = ByDigest | ByName


class Algorithm(msgspec.Struct, frozen=True):
    """The program that the guest runs.

    Without a digest ``provider`` brings it later, under ``id``. All empty it stands for none, which
    only a guest with an agent of its own does without.
    """

    sha256: str = ""
    provider: str = ""
    arguments: tuple[str, ...] = ()
    encryption: str = ""
    """How the guest decrypts it, in words that are the guest's alone; empty for plain bytes."""
    id: str = ""


class Dataset(msgspec.Struct, frozen=True):
    """One input file, seen by the algorithm under ``name``.

    Without a digest ``provider`` brings it later, under ``id`` or else under ``name``.
    """

    name: str
    sha256: str = ""
    provider: str = ""
    encryption: str = ""
    """As of the algorithm."""
    id: str = ""


class Recipient(msgspec.Struct, frozen=True):
    """Somebody for whom the guest encrypts the result."""

    name: str
    public_key: str


class RestartOn(Enum):
    """Which ends of a launch are followed by another; an end that was ordered never is."""

    NEVER = "never"
    FAILURE = "on-failure"
    ALWAYS = "always"


class VmShape(msgspec.Struct, frozen=True):
    """The virtual machine that a computation asks for.

    ``watchdog`` gives the guest a watchdog (i6300esb); a guest that stops feeding it is hung.
    """

    cpus: int = 1
    memory_bytes: int = 256 * MIB
    machine: Machine = Machine.Q35
    accel: Accelerator = Accelerator.AUTO
    kernel: ImageRef = ByName(REFERENCE_KERNEL)
    initrd: tuple[ImageRef, ...] = (ByName(REFERENCE_BASE),)
    firmware: ImageRef | None = None
    firmware_vars: ImageRef | None = None
    """What the firmware's variables are at the VM's first launch; the VM gets a copy of its own."""
    command_line: str = ""
    watchdog: bool = False


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one computation; every one is acted on and survives a restart of the daemon."""

    ttl_ms: int = HOUR_MS
    """From GuestStarted until the VM is stopped with outcome TTL_EXPIRED."""
    launch_deadline_ms: int = 2 * MINUTE_MS
    """From LaunchIntended until the guest must have started the algorithm."""
    stop_grace_ms: int = 10 * SECOND_MS
    """What a graceful stop gives the guest before QEMU is told to quit."""
    result_bytes: int = 16 * MIB
    """The largest result archive that is accepted."""
    log_bytes: int = MIB
    """The largest console log and, apart from it, guest log that are kept."""
    inputs_deadline_ms: int = 24 * HOUR_MS
    """From the moment that inputs are awaited until the last of them must have come."""


class RestartPolicy(msgspec.Struct, frozen=True):
    """When a computation that ended is launched again by itself."""

    policy: RestartOn = RestartOn.NEVER
    max_restarts: int = 3
    """How many within ``period_ms``; past that the VM ends."""
    period_ms: int = 10 * MINUTE_MS
    backoff_ms: int = SECOND_MS
    """Before the first restart of a period; doubled before each further one."""
    backoff_max_ms: int = MINUTE_MS


class NetworkMode(Enum):
    """What a guest can reach. RESTRICTED: nothing, it is only reached; USER: what the host can."""

    NONE = "none"
    RESTRICTED = "restricted"
    USER = "user"


class ForwardProtocol(Enum):
    """What a forward carries."""

    TCP = "tcp"


class Forward(msgspec.Struct, frozen=True):
    """A port of the guest that is reached through one of the host, on 127.0.0.1 only.

    Without ``host_port`` the supervisor chooses one for each launch.
    """

    guest_port: int
    host_port: int | None = None
    protocol: ForwardProtocol = ForwardProtocol.TCP


class Network(msgspec.Struct, frozen=True):
    """The network of a guest; by default it has no network device at all."""

    mode: NetworkMode = NetworkMode.NONE
    forwards: tuple[Forward, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """A computation: an algorithm, its data, the VM that runs it, and its limits."""

    name: str
    algorithm: Algorithm = Algorithm()
    description: str = ""
    labels: dict[str, str] = {}
    datasets: tuple[Dataset, ...] = ()
    vm: VmShape = VmShape()
    limits: Limits = Limits()
    restart: RestartPolicy = RestartPolicy()
    network: Network = Network()
    confidential: Confidential | None = None
    result_recipients: tuple[Recipient, ...] = ()
    result_consumers: tuple[str, ...] = ()
    """Principals who may fetch the result beside its submitter; empty: whoever may ask at all."""
    agent: Agent = ReferenceAgent()
