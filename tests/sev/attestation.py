"""SIMULATED: what a secure processor of our own answers to query-sev-attestation-report."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.sev.chip import Chip

PEK, ECDSA_SHA256 = 0x1002, 2


def attestation(chip: Chip, nonce: bytes, digest: bytes, policy: int) -> bytes:
    said = nonce + digest + policy.to_bytes(4, "little")
    pair = decode_dss_signature(chip.pek_key.sign(said, ec.ECDSA(hashes.SHA256())))
    words = b"".join(number.to_bytes(4, "little") for number in (PEK, ECDSA_SHA256, 0))
    return said + words + b"".join(number.to_bytes(72, "little") for number in pair)
