"""The launch digest: what a launch of known images on known CPUs must measure.

For SEV and SEV-ES it is SHA-256 over firmware, hash table and CPUs' registers; for SEV-SNP a chain
of SHA-384 over pages, which sev-snp-measure computes.
"""

import hashlib
from pathlib import Path

import msgspec
from sevsnpmeasure.guest import snp_calc_launch_digest

from supervisor.sev.errors import Malformed, Unfit
from supervisor.sev.firmware import parse_firmware
from supervisor.sev.hash_table import DirectBoot
from supervisor.sev.vmsa import MeasuredCpus, VmsaVariant, vmsa_pages

PAGE_BYTES = 4096

LIBRARY_REFUSES = (RuntimeError, ValueError, AssertionError, AttributeError, KeyError)
"""What sev-snp-measure raises for a firmware that it cannot read or that lacks a section."""


class SnpImages(msgspec.Struct, frozen=True):
    """Files of an SEV-SNP guest; the command line counts only with a kernel."""

    firmware: Path
    kernel: Path | None = None
    initrd: Path | None = None
    command_line: str = ""


def sev_digest(firmware: bytes, boot: DirectBoot | None) -> bytes:
    """Return 32 bytes. Raises Unfit where the firmware has no area for the hash table."""
    return hashlib.sha256(_measured(firmware, boot)).digest()


def sev_es_digest(
    firmware: bytes, boot: DirectBoot | None, cpus: MeasuredCpus, variant: VmsaVariant
) -> bytes:
    """Return 32 bytes. Raises Unfit where the firmware lacks the hash table's area or a reset."""
    reset = parse_firmware(firmware).demand_reset_address()
    pages = b"".join(vmsa_pages(cpus, reset, variant))
    return hashlib.sha256(_measured(firmware, boot) + pages).digest()


def snp_digest(images: SnpImages, cpus: MeasuredCpus, guest_features: int) -> bytes:
    """Return 48 bytes; ``guest_features`` is SEV_FEATURES of the guest's CPUs.

    Raises:
        Unfit: The firmware is not built for SEV-SNP, or has no place for hashes.
        Malformed: It is no whole number of pages.
        OSError: A file cannot be read.
    """
    firmware = images.firmware.read_bytes()
    if not firmware or len(firmware) % PAGE_BYTES:
        raise Malformed(f"the firmware has {len(firmware)} bytes, which are no whole pages")
    parse_firmware(firmware).demand_reset_address()
    try:
        return bytes(
            snp_calc_launch_digest(
                cpus.count,
                cpus.signature,
                str(images.firmware),
                str(images.kernel or ""),
                str(images.initrd or ""),
                images.command_line,
                guest_features,
                "",
            )
        )
    except LIBRARY_REFUSES as error:
        raise Unfit(f"an SEV-SNP launch of this firmware cannot be measured: {error}") from None


def _measured(firmware: bytes, boot: DirectBoot | None) -> bytes:
    if boot is None:
        return firmware
    parse_firmware(firmware).demand_hashes()
    return firmware + boot.hash_table()
