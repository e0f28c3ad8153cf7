"""What the secure processor signs of a launch, and whether it is the launch that was ordered.

Source: SEV API specification, section 6.5 (LAUNCH_MEASURE); this form since API 0.17.
"""

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from supervisor.sev.errors import Mismatch, Outdated
from supervisor.sev.firmware_version import FirmwareVersion
from supervisor.sev.hash_table import DIGEST_BYTES
from supervisor.sev.octets import exactly, le32
from supervisor.sev.policy import PolicyFlag, demand_flags
from supervisor.sev.session import MAC_BYTES, NONCE_BYTES

CONTEXT = b"\x04"
"""Keeps a measurement's HMAC apart from those of other messages under the same key."""


class Measurement(msgspec.Struct, frozen=True):
    """LAUNCH_MEASURE's answer."""

    mac: bytes
    nonce: bytes

    def encode(self) -> bytes:
        """Return 48 bytes."""
        return self.mac + self.nonce


class Evidence(msgspec.Struct, frozen=True):
    """What a host reports of a launch that waits; nothing of it is believed yet."""

    measurement: Measurement
    firmware: FirmwareVersion
    policy: int


class Demands(msgspec.Struct, frozen=True):
    """What an owner accepts. There is no empty demand that would allow everything."""

    policy: int
    flags: PolicyFlag
    minimum_firmware: FirmwareVersion
    digests: tuple[bytes, ...]


def parse_measurement(data: bytes) -> Measurement:
    """Read 48 bytes. Raises Malformed."""
    exactly(data, MAC_BYTES + NONCE_BYTES, "the measurement")
    return Measurement(data[:MAC_BYTES], data[MAC_BYTES:])


def launch_mac(tik: bytes, evidence: Evidence, digest: bytes) -> bytes:
    """Return what the secure processor signs for a launch of this digest."""
    signed = CONTEXT + evidence.firmware.encode() + le32(evidence.policy)
    signed += digest + evidence.measurement.nonce
    return hmac.digest(tik, signed, hashlib.sha256)


def verify_launch(evidence: Evidence, demands: Demands, tik: bytes) -> bytes:
    """Return which of the demanded digests was launched, under the owner's policy and session.

    Raises:
        WeakPolicy: The policy lacks a flag that is demanded.
        Outdated: The firmware is older than demanded.
        Mismatch: The policy is another one, or the measurement is of no demanded digest.
    """
    if evidence.policy != demands.policy:
        raise Mismatch(
            f"the host reports the policy {evidence.policy:#x}, "
            f"and the session was made for {demands.policy:#x}"
        )
    demand_flags(evidence.policy, demands.flags)
    if evidence.firmware < demands.minimum_firmware:
        raise Outdated(
            f"the platform's firmware is {evidence.firmware}, "
            f"and at least {demands.minimum_firmware} is demanded"
        )
    return _matching(evidence, demands.digests, tik)


def _matching(evidence: Evidence, digests: Sequence[bytes], tik: bytes) -> bytes:
    for digest in digests:
        exactly(digest, DIGEST_BYTES, "a launch digest")
        if hmac.compare_digest(launch_mac(tik, evidence, digest), evidence.measurement.mac):
            return digest
    raise Mismatch(
        "the measurement is of another launch: firmware, kernel, initrd, command line or CPUs "
        "are others than expected, or it was made under another session"
    )
