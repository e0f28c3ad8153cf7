"""`sev verify` and `sev secret`: the owner's decision over one launch that waits for it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click
import msgspec

from supervisor.cli.options import F, json_option
from supervisor.cli.output import print_json
from supervisor.cli.sev.files import IMAGE_BYTES_MAX, file_type, read_whole, write_private
from supervisor.cli.sev.refusals import option, refusals_told
from supervisor.cli.sev.sessions import read_facts, read_keys, require_option, session_option
from supervisor.sev.errors import Unfit
from supervisor.sev.firmware_version import FirmwareVersion, parse_firmware_version
from supervisor.sev.hash_table import DIGEST_BYTES
from supervisor.sev.octets import from_base64, from_hex, to_base64
from supervisor.sev.policy import PolicyFlag, describe_policy, parse_policy

if TYPE_CHECKING:
    from supervisor.sev.measurement import Demands, Evidence
    from supervisor.sev.secret import Secret
    from supervisor.sev.session import TransportKeys

PACKET_FILE = "secret.json"
ALIASES = {"luks-key": UUID("736869e5-84f0-4973-92ec-06879ce3da0b")}
"""Names that virt-qemu-sev-validate knows, too."""


class Packet(msgspec.Struct, frozen=True):
    """What secret.json holds, each in base64."""

    measurement: str
    packet_header: str
    secret: str


def _digest_of(text: str) -> bytes:
    return from_hex(text, DIGEST_BYTES, "a launch digest")


REPORTED: tuple[Callable[[F], F], ...] = (
    click.option("--measurement", metavar="BASE64", required=True, help="As QMP tells it."),
    option(
        "--platform-version",
        parse_firmware_version,
        metavar="MAJOR.MINOR.BUILD",
        required=True,
        help="The firmware's api-major, api-minor and build-id, as query-sev tells them.",
    ),
    option("--policy", parse_policy, required=True, help="The policy, as query-sev tells it."),
)
DEMANDED: tuple[Callable[[F], F], ...] = (
    option(
        "--min-version",
        parse_firmware_version,
        metavar="MAJOR.MINOR.BUILD",
        required=True,
        help="The oldest firmware that you accept.",
    ),
    option(
        "--digest",
        _digest_of,
        metavar="HEX",
        required=True,
        multiple=True,
        help="A launch digest that you accept, as `sev digest` prints it.",
    ),
    require_option,
)


def demand_options(command: F) -> F:
    """Let a command be told what an owner demands of a launch."""
    for each in reversed(DEMANDED):
        command = each(command)
    return command


def evidence_options(command: F) -> F:
    """Let a command be told of a session, what a host reports of its launch, and the demands."""
    command = demand_options(command)
    for each in reversed((session_option, *REPORTED)):
        command = each(command)
    return command


@click.command()
@evidence_options
@json_option
def verify(
    *,
    directory: Path,
    measurement: str,
    platform_version: FirmwareVersion,
    policy: int,
    min_version: FirmwareVersion,
    digest: tuple[bytes, ...],
    require: PolicyFlag,
    as_json: bool,
) -> None:
    """Check that what a host launched is your guest, under your session and policy.

    The exit code says which kind of refusal it is.

    \b
    Example:
      chronovisor sev verify --session launch-1 --measurement 3q2+7w... \\
        --platform-version 1.55.24 --policy 0x3 --min-version 1.51.0 --digest 77f613d7...
    """
    from supervisor.sev.measurement import verify_launch

    with refusals_told(as_json=as_json):
        reported = _reported(measurement, platform_version, policy)
        demands = demands_of(directory, require, min_version, digest)
        found = verify_launch(reported, demands, read_keys(directory).tik)
    if as_json:
        print_json({"verified": True, "digest": found.hex(), "policy": policy})
    else:
        words = describe_policy(policy)
        click.echo(f"it is your guest: launch digest {found.hex()}, policy {policy:#x} ({words})")


def secret_of(text: str) -> tuple[UUID, Path]:
    """Return the GUID and the file of ``luks-key:FILE`` or ``GUID:FILE``."""
    name, separator, file = text.partition(":")
    try:
        guid = ALIASES.get(name) or UUID(name)
    except ValueError:
        guid = None
    if guid is None or not separator or not file:
        raise click.BadParameter(f"got {text!r}; it takes luks-key:FILE or GUID:FILE")
    return guid, Path(file)


@click.command()
@evidence_options
@option(
    "--secret",
    secret_of,
    metavar="luks-key:FILE|GUID:FILE",
    required=True,
    multiple=True,
    help="A file whose content the guest gets; may be repeated.",
)
@click.option(
    "--firmware",
    type=file_type,
    help="The guest's firmware, which tells how much room there is.  [default: 3 KiB, as AmdSev]",
)
@json_option
def secret(
    *,
    directory: Path,
    measurement: str,
    platform_version: FirmwareVersion,
    policy: int,
    min_version: FirmwareVersion,
    digest: tuple[bytes, ...],
    require: PolicyFlag,
    secret: tuple[tuple[UUID, Path], ...],
    firmware: Path | None,
    as_json: bool,
) -> None:
    """Verify a launch, and seal secrets for it and for no other.

    The packet is written to secret.json in the session's directory. A session seals once: send that
    packet again where sending it failed, and make a new session for another launch.

    \b
    Example:
      chronovisor sev secret --session launch-1 --measurement 3q2+7w... \\
        --platform-version 1.55.24 --policy 0x3 --min-version 1.51.0 --digest 77f613d7... \\
        --secret luks-key:disk.key
    """
    from supervisor.sev.measurement import verify_launch
    from supervisor.sev.secret import Secret

    with refusals_told(as_json=as_json):
        reported = _reported(measurement, platform_version, policy)
        demands = demands_of(directory, require, min_version, digest)
        keys = read_keys(directory)
        verify_launch(reported, demands, keys.tik)
        contents = [Secret(guid, read_whole(file, IMAGE_BYTES_MAX)) for guid, file in secret]
        packet = sealed(contents, keys, reported, _room(firmware))
        keep_packet(directory, packet)
    if as_json:
        print_json({"verified": True, **msgspec.structs.asdict(packet)})
    else:
        click.echo(
            f"the launch was verified, and the packet for it is in {directory / PACKET_FILE}"
        )


def _reported(measurement: str, version: FirmwareVersion, policy: int) -> "Evidence":
    from supervisor.sev.measurement import Evidence, parse_measurement

    return Evidence(parse_measurement(from_base64(measurement, "the measurement")), version, policy)


def demands_of(
    directory: Path, flags: PolicyFlag, minimum: FirmwareVersion, digests: tuple[bytes, ...]
) -> "Demands":
    """Return what an owner demands of the launch that was made with a session."""
    from supervisor.sev.measurement import Demands

    return Demands(read_facts(directory).policy, flags, minimum, digests)


def _room(firmware: Path | None) -> int:
    from supervisor.sev.firmware import parse_firmware
    from supervisor.sev.secret import OVMF_ROOM

    if firmware is None:
        return OVMF_ROOM
    return parse_firmware(read_whole(firmware, IMAGE_BYTES_MAX)).secret_room()


def sealed(
    secrets: list["Secret"], keys: "TransportKeys", reported: "Evidence", room: int
) -> Packet:
    """Return the packet for a launch that was verified. Raises Unfit where it has no room."""
    from supervisor.sev.secret import seal, secret_table

    packet = seal(secret_table(secrets), keys, reported.measurement, room)
    return Packet(
        to_base64(reported.measurement.encode()),
        to_base64(packet.header),
        to_base64(packet.ciphertext),
    )


def keep_packet(directory: Path, packet: Packet) -> None:
    """Write a session's one packet. Raises Unfit where it has one."""
    file = directory / PACKET_FILE
    try:
        write_private(file, msgspec.json.encode(packet) + b"\n")
    except FileExistsError:
        raise Unfit(
            f"this session has sealed a secret already: send {file} again for the same launch, "
            "and make a new session for another"
        ) from None
