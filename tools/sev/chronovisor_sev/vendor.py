"""SIMULATED: an AMD of our own, with an ARK and an ASK in AMD's format for SEV and SEV-ES."""

import os
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

DIGESTS: dict[int, type[hashes.HashAlgorithm]] = {2048: hashes.SHA256, 4096: hashes.SHA384}
RSA_ALGORITHM = {2048: 0x001, 4096: 0x101}


class KeyUsage(IntEnum):
    """What a key is for (SEV API specification, appendix C)."""

    ARK = 0
    ASK = 0x13
    OCA = 0x1001
    PEK = 0x1002
    PDH = 0x1003
    CEK = 0x1004


@dataclass(frozen=True)
class Generation:
    """The roots of one generation of processors."""

    bits: int
    ark_key: rsa.RSAPrivateKey
    ask_key: rsa.RSAPrivateKey
    ark: bytes
    ask: bytes

    def sign_cek(self, body: bytes) -> tuple[int, bytes]:
        """Return the algorithm and the signature with which this ASK vouches for a chip."""
        return RSA_ALGORITHM[self.bits], sign(self.ask_key, body)


def new_generation(bits: int) -> Generation:
    """Make roots of 2048 bits, as Naples has, or of 4096, as later processors have."""
    ark_key, ask_key = (rsa.generate_private_key(65537, bits) for _ in range(2))
    ark_id, ask_id = os.urandom(16), os.urandom(16)
    ark = amd_certificate(KeyUsage.ARK, ark_key, ark_id, ark_id, ark_key)
    ask = amd_certificate(KeyUsage.ASK, ask_key, ask_id, ark_id, ark_key)
    return Generation(bits, ark_key, ask_key, ark, ask)


def amd_certificate(
    usage: int,
    key: rsa.RSAPrivateKey,
    key_id: bytes,
    certifying_id: bytes,
    signer: rsa.RSAPrivateKey,
) -> bytes:
    """Return a certificate of AMD's own format (SEV API specification, appendix B)."""
    numbers, bits = key.public_key().public_numbers(), key.key_size
    words = (number.to_bytes(4, "little") for number in (usage, 0, 0, 0, 0, bits, bits))
    body = (1).to_bytes(4, "little") + key_id + certifying_id + b"".join(words)
    body += b"".join(n.to_bytes(bits // 8, "little") for n in (numbers.e, numbers.n))
    return body + sign(signer, body)


def sign(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """Sign with RSA-PSS, least significant byte first."""
    digest = DIGESTS[key.key_size]()
    scheme = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
    return key.sign(data, scheme, digest)[::-1]
