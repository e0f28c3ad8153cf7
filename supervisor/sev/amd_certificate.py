"""AMD's own certificates for SEV and SEV-ES: the root ARK and the ASK below it, with RSA keys.

Format: SEV API specification, appendix B. AMD publishes the two of a processor generation one after
the other in one file.
"""

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from supervisor.sev.certificate import HASHES, Algorithm, Certificate, Usage
from supervisor.sev.errors import Malformed, Untrusted
from supervisor.sev.octets import little, zeros

HEADER_BYTES = 64
MODULUS_BITS = {2048: hashes.SHA256, 4096: hashes.SHA384}
"""The sizes in use, and the digest that AMD signs with at each: Naples, and all later ones."""

RSA = frozenset({Algorithm.RSA_SHA256, Algorithm.RSA_SHA384})
CERTIFICATES_MAX = 2
"""Of one generation: an ASK and its ARK."""


class AmdCertificate(msgspec.Struct, frozen=True):
    """An ARK or an ASK."""

    usage: Usage
    key_id: bytes
    certifying_id: bytes
    exponent: int
    modulus: int
    signed: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the bytes that were read."""
        return self.signed + self.signature

    def verify(self, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm) -> bool:
        """Return whether this key made a signature, which is RSA-PSS and little-endian."""
        scheme = padding.PSS(padding.MGF1(algorithm), salt_length=algorithm.digest_size)
        try:
            key = rsa.RSAPublicNumbers(self.exponent, self.modulus).public_key()
            key.verify(signature[::-1], signed, scheme, algorithm)
        except (InvalidSignature, ValueError):
            return False
        return True

    @property
    def modulus_bytes(self) -> int:
        """The length of the key, and of every signature by it."""
        return len(self.signature)


class AmdRoots(msgspec.Struct, frozen=True):
    """What an owner trusts: the root of one generation of processors, and the key below it."""

    ark: AmdCertificate
    ask: AmdCertificate


def parse_amd_certificates(data: bytes) -> list[AmdCertificate]:
    """Read one certificate, or two that follow each other. Raises Malformed."""
    found: list[AmdCertificate] = []
    while data and len(found) < CERTIFICATES_MAX:
        certificate = _parse(data)
        found.append(certificate)
        data = data[len(certificate.encode()) :]
    if data or not found:
        raise Malformed("AMD's certificates are not an ASK and an ARK, and nothing else")
    return found


def trusted_roots(certificates: list[AmdCertificate]) -> AmdRoots:
    """Return the ASK and the ARK, of which the first is signed by the second.

    That the ARK is AMD's is what the owner vouches for by naming it.

    Raises:
        Malformed: They are not one of each.
        Untrusted: The ARK did not sign itself, or it did not sign the ASK.
    """
    by_usage = {each.usage: each for each in certificates}
    if len(certificates) != CERTIFICATES_MAX or set(by_usage) != {Usage.ARK, Usage.ASK}:
        raise Malformed("AMD's certificates must be one ASK and one ARK")
    ark, ask = by_usage[Usage.ARK], by_usage[Usage.ASK]
    if ark.certifying_id != ark.key_id or not _signed_by(ark, ark):
        raise Untrusted("the ARK certificate is not signed by itself: it is damaged, or no root")
    if ask.certifying_id != ark.key_id:
        raise Untrusted("the ASK certificate names another ARK: they are of different generations")
    if not _signed_by(ask, ark):
        raise Untrusted("the ASK certificate is not signed by this ARK")
    return AmdRoots(ark, ask)


def verify_signed_by_ask(certificate: Certificate, ask: AmdCertificate) -> None:
    """Check AMD's signature over a chip's CEK. Raises Untrusted and Malformed."""
    signature = certificate.signature_of(Usage.ASK)
    size, name = ask.modulus_bytes, certificate.usage.name
    wrong = (
        f"the {name} certificate is not signed by this ASK: it is damaged, or of another generation"
    )
    if signature.algorithm not in RSA:
        raise Untrusted(wrong)
    if any(signature.octets[size:]):
        raise Untrusted(wrong)
    algorithm = HASHES[signature.algorithm]()
    if not ask.verify(signature.octets[:size], certificate.signed, algorithm):
        raise Untrusted(wrong)


def _signed_by(certificate: AmdCertificate, signer: AmdCertificate) -> bool:
    algorithm = MODULUS_BITS[signer.modulus.bit_length()]()
    return signer.verify(certificate.signature, certificate.signed, algorithm)


def _parse(data: bytes) -> AmdCertificate:
    header = data[:HEADER_BYTES]
    exponent_bits, modulus_bits = little(header[56:60]), little(header[60:64])
    if len(header) < HEADER_BYTES or exponent_bits != modulus_bits:
        raise Malformed("one of AMD's certificates is cut off, or it is something else")
    if little(header[:4]) != 1 or modulus_bits not in MODULUS_BITS:
        raise Malformed("one of AMD's certificates is of a version or key size that is not known")
    usage = {int(each): each for each in (Usage.ARK, Usage.ASK)}.get(little(header[36:40]))
    if usage is None:
        raise Malformed("one of AMD's certificates is neither an ARK nor an ASK")
    zeros(header[40:56], f"the {usage.name} certificate")
    size = modulus_bits // 8
    exponent, modulus, signature = (
        data[HEADER_BYTES + size * place : HEADER_BYTES + size * (place + 1)] for place in range(3)
    )
    if len(signature) < size:
        whole = HEADER_BYTES + 3 * size
        raise Malformed(f"the {usage.name} certificate has {len(data)} bytes of {whole}")
    if little(modulus).bit_length() != modulus_bits:
        raise Malformed(f"the {usage.name} certificate has a key of another size than it says")
    return AmdCertificate(
        usage,
        key_id=header[4:20],
        certifying_id=header[20:36],
        exponent=little(exponent),
        modulus=little(modulus),
        signed=header + exponent + modulus,
        signature=signature,
    )
