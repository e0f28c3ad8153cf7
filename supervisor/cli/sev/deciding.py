"""An owner's decision over a launch that waits on a host: verify, and only then seal and send.

A packet is kept before it is sent, and a session's kept packet is sent again, never another one.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from chronovisor_api import v1
from chronovisor_api.client import OVER

from supervisor.cli.connection import Daemon
from supervisor.cli.exits import ExitCode, Failure
from supervisor.cli.messages import word
from supervisor.cli.sev.files import CERTIFICATE_BYTES_MAX, IMAGE_BYTES_MAX, read_whole
from supervisor.cli.sev.launches import PACKET_FILE, Packet, demands_of, keep_packet, sealed
from supervisor.cli.sev.orders import approve_launch, get, measurement_of
from supervisor.cli.sev.sessions import FACTS_FILE, SessionFacts, read_facts, read_keys
from supervisor.sev.errors import Malformed, Mismatch, SevRefused, Unfit
from supervisor.sev.firmware_version import FirmwareVersion, parse_firmware_version
from supervisor.sev.octets import from_base64
from supervisor.sev.policy import PolicyFlag
from supervisor.vm import attestation_events as ev
from supervisor.vm.events import TAGS, LaunchEnded, VmDeleted, VmFailed, VmStopped

if TYPE_CHECKING:
    from supervisor.sev.measurement import Evidence

MEASURED = TAGS[ev.LaunchMeasured]
TURNS = tuple(
    TAGS[kind]
    for kind in (
        ev.SessionAwaited,
        ev.LaunchMeasured,
        ev.LaunchApproved,
        ev.LaunchRejected,
        LaunchEnded,
        VmStopped,
        VmFailed,
        VmDeleted,
    )
)
"""Events after which a launch may have come further."""

SESSIONS_MAX = 10_000
"""Directories that are looked through for the session of a launch."""


class Wish(msgspec.Struct, frozen=True):
    """What an owner demands of a launch, and what its guest gets."""

    minimum: FirmwareVersion
    digests: tuple[bytes, ...]
    flags: PolicyFlag
    secrets: tuple[tuple[UUID, Path], ...]


UNDECIDED = frozenset({v1.Phase.AWAITING_VERIFICATION, v1.Phase.STOPPING})
"""In the second the launch ends, and why is told at its end."""


class Released(msgspec.Struct, frozen=True):
    """A launch that runs, verified."""

    vm_id: str
    launch: int
    digest: str
    packet_sha256: str


def release_launch(daemon: Daemon, vm: v1.Vm, directory: Path, wish: Wish) -> Released:
    """Verify a measured launch, and let it run. Raises SevRefused and Failure."""
    digest = verify(vm, directory, wish)
    packet = _packet(vm, directory, wish) if wish.secrets else None
    if packet is not None:
        _send(daemon, vm, packet)
    elif not _is_approved(vm):
        approve_launch(daemon, vm)
    vm = until(daemon, get(daemon, vm.vm_id), is_decided)
    if not _is_approved(vm):
        how = f"ended as {word(vm.outcome)}" if vm.phase in OVER else f"is {word(vm.phase)}"
        told = f"{vm.vm_id} {how}, and launch {vm.launch} did not run: {vm.detail}"
        raise Failure(ExitCode.DENIED, told)
    sent = "" if packet is None else packet_sha256(packet)
    return Released(vm.vm_id, vm.launch, digest.hex(), sent)


def verify(vm: v1.Vm, directory: Path, wish: Wish) -> bytes:
    """Return the launch digest, which is one of those demanded. Raises SevRefused."""
    from supervisor.sev.measurement import verify_launch

    facts, state = read_facts(directory), vm.launch_state or v1.LaunchState()
    if state.session_sha256 != facts.session_sha256:
        raise Mismatch(f"launch {vm.launch} was made with another session than {directory}")
    demands = demands_of(directory, wish.flags, wish.minimum, wish.digests)
    return verify_launch(_reported(vm), demands, read_keys(directory).tik)


def _reported(vm: v1.Vm) -> "Evidence":
    from supervisor.sev.measurement import Evidence, parse_measurement

    measurement = parse_measurement(measurement_of(vm))
    evidence = vm.launch_state and vm.launch_state.evidence
    said = (evidence and evidence.sev) or v1.SevEvidence()
    version = parse_firmware_version(f"{said.api_major}.{said.api_minor}.{said.build}")
    return Evidence(measurement, version, said.policy)


def _packet(vm: v1.Vm, directory: Path, wish: Wish) -> Packet:
    kept = kept_packet(directory)
    if kept is None:
        return _seal(vm, directory, wish)
    if from_base64(kept.measurement, "the kept packet's measurement") != measurement_of(vm):
        raise Unfit(
            f"{directory / PACKET_FILE} was sealed for another launch, and a session seals once: "
            "make a new session"
        )
    return kept


def kept_packet(directory: Path) -> Packet | None:
    """Return what a session has sealed, if it has. Raises Malformed."""
    file = directory / PACKET_FILE
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(read_whole(file, CERTIFICATE_BYTES_MAX), type=Packet)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{file} is damaged: {error}") from None


def _seal(vm: v1.Vm, directory: Path, wish: Wish) -> Packet:
    from supervisor.sev.secret import Secret

    claims = vm.launch_state.claims if vm.launch_state else None
    if claims is None or not claims.secret_room:
        raise Unfit("the guest's firmware has no area for secrets; use OVMF's AmdSev build")
    room = claims.secret_room
    contents = [Secret(guid, read_whole(file, IMAGE_BYTES_MAX)) for guid, file in wish.secrets]
    packet = sealed(contents, read_keys(directory), _reported(vm), room)
    keep_packet(directory, packet)
    return packet


def packet_sha256(packet: Packet) -> str:
    """Return what names a packet in the log."""
    header = from_base64(packet.packet_header, "the packet's header")
    return sha256(header + from_base64(packet.secret, "the packet's secret")).hexdigest()


def _send(daemon: Daemon, vm: v1.Vm, packet: Packet) -> None:
    state = vm.launch_state or v1.LaunchState()
    if _is_approved(vm) and state.packet_sha256 == packet_sha256(packet):
        return
    injection = daemon.patient.inject_secret(
        vm.vm_id,
        launch=vm.launch,
        measurement=from_base64(packet.measurement, "the packet's measurement"),
        packet_header=from_base64(packet.packet_header, "the packet's header"),
        secret=from_base64(packet.secret, "the packet's secret"),
    )
    daemon.call(injection)


def _is_approved(vm: v1.Vm) -> bool:
    return bool(vm.launch_state and vm.launch_state.stage is v1.AttestationStage.APPROVED)


def is_measured(vm: v1.Vm) -> bool:
    """Whether a launch waits for its owner, or was approved; Failure tells of one that ended."""
    if vm.phase is v1.Phase.AWAITING_VERIFICATION or _is_approved(vm):
        return True
    if vm.launch_state is None:
        raise Failure(ExitCode.DENIED, f"VM {vm.vm_id} is not confidential: it needs no release")
    if vm.phase in OVER:
        told = f"VM {vm.vm_id} ended as {word(vm.outcome)} before it was released: {vm.detail}"
        raise Failure(ExitCode.DENIED, told)
    return False


def is_decided(vm: v1.Vm) -> bool:
    """Whether a launch runs by its owner's word, or is over."""
    return _is_approved(vm) or vm.phase not in UNDECIDED


def until(daemon: Daemon, vm: v1.Vm, is_there: Callable[[v1.Vm], bool]) -> v1.Vm:
    """Return the VM once it is where it should be; the daemon's own deadlines bound the wait."""
    if is_there(vm):
        return vm
    for _ in daemon.stream(daemon.patient.watch(vm_id=vm.vm_id, types=TURNS)):
        vm = get(daemon, vm.vm_id)
        if is_there(vm):
            break
    return vm


def sessions_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the blob's digest of each session below ``folder``, and its directory."""
    for at, file in enumerate(sorted(folder.glob(f"*/{FACTS_FILE}"))):
        if at >= SESSIONS_MAX:
            raise Failure(ExitCode.USAGE, f"{folder} has more than {SESSIONS_MAX} sessions")
        if (facts := _facts(file.parent)) is not None:
            yield facts.session_sha256, file.parent


def _facts(directory: Path) -> SessionFacts | None:
    try:
        return read_facts(directory)
    except SevRefused:
        return None  # somebody else's file, or one that is being written
