"""What a host says of its secure processor, and whether AMD vouches for it.

The chain runs ARK -> ASK -> CEK -> PEK -> PDH, and OCA -> PEK. QEMU's CEK bears no signature: the
signed one comes from AMD's key service, by the chip's id.
"""

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from supervisor.sev.amd_certificate import AmdRoots, verify_signed_by_ask
from supervisor.sev.certificate import (
    CERTIFICATE_BYTES,
    KEY_BYTES,
    KEY_OFFSET,
    Certificate,
    Usage,
    parse_certificate,
    verify_signed_by,
)
from supervisor.sev.errors import Untrusted
from supervisor.sev.octets import exactly, from_base64

CHIP_ID_BYTES = 64
KEY_SERVICE = "https://kdsintf.amd.com/cek/id/"
"""AMD's key service; the chip's id in hexadecimal follows."""

ORDER = (Usage.PEK, Usage.OCA, Usage.CEK)
"""How they follow each other in QMP's cert-chain."""


class Capabilities(msgspec.Struct, frozen=True, rename="kebab"):
    """QMP's answer to query-sev-capabilities; cpu0-id since QEMU 7.1."""

    pdh: str
    cert_chain: str
    cpu0_id: str
    cbitpos: int
    reduced_phys_bits: int


class Platform(msgspec.Struct, frozen=True):
    """The certificates of one secure processor."""

    pdh: Certificate
    pek: Certificate
    oca: Certificate
    cek: Certificate


def parse_platform(pdh: bytes, cert_chain: bytes) -> Platform:
    """Read what QMP and GetPlatform answer. Raises Malformed."""
    exactly(cert_chain, CERTIFICATE_BYTES * len(ORDER), "the platform's certificate chain")
    pek, oca, cek = (
        parse_certificate(cert_chain[CERTIFICATE_BYTES * at : CERTIFICATE_BYTES * (at + 1)], usage)
        for at, usage in enumerate(ORDER)
    )
    return Platform(parse_certificate(pdh, Usage.PDH), pek, oca, cek)


def read_capabilities(answer: Capabilities) -> tuple[Platform, bytes]:
    """Return the certificates and the chip's id. Raises Malformed."""
    pdh = from_base64(answer.pdh, "the PDH certificate")
    chain = from_base64(answer.cert_chain, "the platform's certificate chain")
    chip = exactly(from_base64(answer.cpu0_id, "the chip's id"), CHIP_ID_BYTES, "the chip's id")
    return parse_platform(pdh, chain), chip


def cek_address(chip: bytes) -> str:
    """Return where AMD hands out the signed CEK of a chip."""
    return KEY_SERVICE + chip.hex()


def with_signed_cek(platform: Platform, cek: Certificate) -> Platform:
    """Return the platform with its CEK as AMD signed it. Raises Untrusted for another chip's."""
    ours, theirs = platform.cek.signed, cek.signed
    end = KEY_OFFSET + KEY_BYTES
    if ours[KEY_OFFSET:end] != theirs[KEY_OFFSET:end]:
        raise Untrusted("the signed CEK certificate is of another chip: its key is another one")
    return msgspec.structs.replace(platform, cek=cek)


def verify_platform(platform: Platform, roots: AmdRoots) -> ec.EllipticCurvePublicKey:
    """Check the whole chain; return the key that a session may be agreed with.

    Raises:
        Untrusted: A signature is missing or wrong; the message names whose.
        Malformed: A certificate is damaged.
    """
    verify_signed_by_ask(platform.cek, roots.ask)
    verify_signed_by(platform.pek, platform.cek)
    verify_signed_by(platform.oca, platform.oca)
    verify_signed_by(platform.pek, platform.oca)
    verify_signed_by(platform.pdh, platform.pek)
    return platform.pdh.public_key()
