"""The keys of a session that this host made itself, because its owner trusts it to verify.

They lie in the launch's directory, for the daemon's user alone, from the preparation until
the launch is approved and its guest told to run: a daemon that was restarted meanwhile verifies all
the same. Of every other session the keys are with the guest's owner, and this host never sees them.
"""

import logging
import os
from pathlib import Path

from supervisor.host.platform import Platform
from supervisor.host.private_file import open_private, private_file
from supervisor.sev.certificate import Usage, parse_certificate
from supervisor.sev.errors import SevRefused
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.measurement import Demands, Evidence, parse_measurement, verify_launch
from supervisor.sev.octets import from_base64, to_base64
from supervisor.sev.policy import API_SHIFT, PolicyFlag
from supervisor.sev.session import TransportKeys, new_session, parse_keys
from supervisor.vm.confidential import GuestSession, Sev, SevEvidence
from supervisor.vm.observations import HostCheck

logger = logging.getLogger(__name__)

KEYS_FILE = "tk.bin"
KEYS_BYTES = 32


def make_session(platform: Platform, policy: int, directory: Path) -> GuestSession:
    """Make a session with the host's processor, and keep its keys. Raises SevRefused, OSError."""
    pdh = parse_certificate(from_base64(platform.pdh, "the PDH certificate"), Usage.PDH)
    session = new_session(pdh.public_key(), policy)
    with open(directory / KEYS_FILE, "xb", opener=private_file) as file:
        file.write(session.keys.encode())
    return GuestSession(to_base64(session.certificate), to_base64(session.blob))


def verify(evidence: SevEvidence, ordered: Sev, directory: Path) -> tuple[HostCheck, str]:
    """Return whether the processor measured what was ordered, and why not. Blocks."""
    try:
        _verify(evidence, ordered, _read_keys(directory))
    except SevRefused as why:
        return HostCheck.REFUSED, str(why)
    except OSError as error:
        return HostCheck.REFUSED, f"the session's keys cannot be read: {error.strerror or error}"
    return HostCheck.VERIFIED, ""


def forget(directory: Path) -> None:
    """Remove the keys of a launch that was approved: nothing is verified with them again."""
    try:
        (directory / KEYS_FILE).unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s stays until its launch is over: %s", KEYS_FILE, error.strerror)


def _verify(evidence: SevEvidence, ordered: Sev, keys: TransportKeys) -> None:
    version = FirmwareVersion(evidence.api_major, evidence.api_minor, evidence.build)
    measurement = parse_measurement(from_base64(evidence.measurement, "the measurement"))
    demands = Demands(
        policy=ordered.policy,
        flags=PolicyFlag(0),
        minimum_firmware=minimum_firmware(ordered.policy),
        digests=(bytes.fromhex(ordered.expected_digest),),
    )
    verify_launch(Evidence(measurement, version, evidence.policy), demands, keys.tik)


def minimum_firmware(policy: int) -> FirmwareVersion:
    """Return the lowest API version that a policy allows (SEV API specification, chapter 3)."""
    version = policy >> API_SHIFT
    return FirmwareVersion(version & 0xFF, version >> 8, 0)


def _read_keys(directory: Path) -> TransportKeys:
    descriptor = open_private(directory / KEYS_FILE, os.O_RDONLY)
    try:
        return parse_keys(os.read(descriptor, KEYS_BYTES + 1))
    finally:
        os.close(descriptor)
