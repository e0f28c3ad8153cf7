"""Facts of the ``host`` stream, past tense; :mod:`supervisor.vm.events` gives the rules."""

from enum import Enum

import msgspec


class DaemonStarted(msgspec.Struct, frozen=True):
    """A life of the daemon on this log began; the record's epoch numbers it."""

    version: str
    pid: int
    boot_id: str
    qemu: str
    moved_from: str = ""
    """The node that wrote the log before, where that was another host."""
    unattended: tuple[str, ...] = ()
    """VMs that are left as they are: set aside by the operator, or not to be read."""


class StopReason(Enum):
    """Why the daemon ended in good order."""

    SIGNAL = "signal"


class DaemonStopped(msgspec.Struct, frozen=True):
    """The daemon ended in good order; without this event before the next start, it was killed."""

    reason: StopReason
    vms_left_running: int


class VmsRecovered(msgspec.Struct, frozen=True):
    """Every VM that the log calls alive was looked for: which are attended to, silent, or gone."""

    adopted: int
    silent: int
    gone: int
    took_ms: int


class OrphanVerdict(Enum):
    """Whose a process is that looks like a launch and belongs to no VM."""

    OURS = "ours"
    """Proven to be a launch of this log that is over; it is ended."""
    STRANGER = "stranger"
    """Not proven to be ours; it is left alone."""


class OrphanFound(msgspec.Struct, frozen=True):
    """A process claims to be a launch, and no VM has it; ``launch`` is 0 where it names none."""

    pid: int
    uuid: str
    vm_id: str
    launch: int
    verdict: OrphanVerdict
    evidence: tuple[str, ...]


class OrphanEnded(msgspec.Struct, frozen=True):
    """An orphan of ours was ended by this signal."""

    pid: int
    vm_id: str
    launch: int
    signal: str


class ComputationAdmitted(msgspec.Struct, frozen=True):
    """A key, the request it stands for and the VM it made; one append with the VM's first event.

    ``request_digest`` is SHA-256 over the RFC 8785 JSON of the manifest and the asked-for id.
    """

    vm_id: str
    idempotency_key: str
    request_digest: str


class FaultPlanLoaded(msgspec.Struct, frozen=True):
    """This life of the daemon is made to fail; ``digest`` is SHA-256 over the plan's file.

    ``faults`` says each in words. Not the computations are to blame for what follows.
    """

    digest: str
    faults: tuple[str, ...]


class ArtifactStored(msgspec.Struct, frozen=True):
    """A principal's first upload of these bytes, admins taken as one; ``size`` in bytes.

    It stands in the stream ``artifact/<sha256>/<tenant>/<hash of the principal>``; for admins in
    ``artifact/<sha256>``, in other tenants than the default one with ``/<tenant>`` after it.
    """

    sha256: str
    size: int


Event = (
    DaemonStarted
    | DaemonStopped
    | FaultPlanLoaded
    | VmsRecovered
    | OrphanFound
    | OrphanEnded
    | ComputationAdmitted
    | ArtifactStored
)

TAGS: dict[type[Event], str] = {
    DaemonStarted: "host.daemon-started.v1",
    DaemonStopped: "host.daemon-stopped.v1",
    FaultPlanLoaded: "host.fault-plan-loaded.v1",
    VmsRecovered: "host.vms-recovered.v1",
    OrphanFound: "host.orphan-found.v1",
    OrphanEnded: "host.orphan-ended.v1",
    ComputationAdmitted: "host.computation-admitted.v1",
    ArtifactStored: "artifact.stored.v1",
}
