"""The platform's own certificates: PDH, PEK, OCA and CEK, 2084 bytes each.

Format: SEV API specification, appendix C.1. The first 1044 bytes are what is signed; two signatures
may follow. Reserved bytes of the signatures must be zero, so that no byte can change unnoticed.
"""

from enum import IntEnum

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from supervisor.sev.errors import Malformed, Untrusted
from supervisor.sev.octets import exactly, le32, little, zeros

CERTIFICATE_BYTES = 2084
SIGNED_BYTES = 1044
KEY_OFFSET = 16
KEY_BYTES = 1028
SIGNATURE_BYTES = 512
SLOT_BYTES = 8 + SIGNATURE_BYTES

COORDINATE_BYTES = 72
"""Room for a coordinate of any curve; those of P-384 fill 48 bytes of it."""

VERSION = 1
P384 = 2

INTEGER_BITS = 384


class Usage(IntEnum):
    """What a key is for, and so who may sign with it."""

    ARK = 0
    ASK = 0x13
    NONE = 0x1000
    OCA = 0x1001
    PEK = 0x1002
    PDH = 0x1003
    CEK = 0x1004


class Algorithm(IntEnum):
    """How a signature was made, or what a key is used with."""

    NONE = 0
    RSA_SHA256 = 0x001
    ECDSA_SHA256 = 0x002
    ECDH_SHA256 = 0x003
    RSA_SHA384 = 0x101
    ECDSA_SHA384 = 0x102
    ECDH_SHA384 = 0x103


SIGNERS: dict[Usage, frozenset[Usage]] = {
    Usage.PDH: frozenset({Usage.PEK}),
    Usage.PEK: frozenset({Usage.OCA, Usage.CEK}),
    Usage.OCA: frozenset({Usage.OCA}),
    Usage.CEK: frozenset({Usage.ASK}),
}
"""Whose signatures a certificate may bear, each of them once."""

HASHES: dict[int, type[hashes.HashAlgorithm]] = {
    Algorithm.RSA_SHA256: hashes.SHA256,
    Algorithm.ECDSA_SHA256: hashes.SHA256,
    Algorithm.RSA_SHA384: hashes.SHA384,
    Algorithm.ECDSA_SHA384: hashes.SHA384,
}
ECDSA = frozenset({Algorithm.ECDSA_SHA256, Algorithm.ECDSA_SHA384})


class Signature(msgspec.Struct, frozen=True):
    """One of the two places for a signature; usage NONE where it is empty."""

    usage: int = Usage.NONE
    algorithm: int = Algorithm.NONE
    octets: bytes = bytes(SIGNATURE_BYTES)

    def encode(self) -> bytes:
        """Return 520 bytes."""
        return le32(self.usage) + le32(self.algorithm) + self.octets


class Certificate(msgspec.Struct, frozen=True):
    """A certificate as it was read; :func:`verify_signed_by` says whether it is to be believed."""

    usage: Usage
    signed: bytes
    signatures: tuple[Signature, Signature]

    def encode(self) -> bytes:
        """Return 2084 bytes."""
        return self.signed + b"".join(each.encode() for each in self.signatures)

    def signature_of(self, signer: Usage) -> Signature:
        """Return the signature that a key of this usage made. Raises Untrusted."""
        for each in self.signatures:
            if each.usage == signer:
                return each
        raise Untrusted(
            f"the {self.usage.name} certificate bears no signature of the {signer.name}"
        )

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the key that this certificate is about. Raises Malformed."""
        return _public_key(self.signed[KEY_OFFSET:], self.usage.name)


def parse_certificate(data: bytes, expected: Usage) -> Certificate:
    """Read a certificate that must be one of the ``expected`` usage. Raises Malformed."""
    what = f"the {expected.name} certificate"
    exactly(data, CERTIFICATE_BYTES, what)
    if little(data[:4]) != VERSION:
        raise Malformed(f"{what} is of version {little(data[:4])}, and only {VERSION} is known")
    usage = little(data[8:12])
    if usage != expected:
        raise Malformed(f"{what} is another certificate: its usage is {_usage_name(usage)}")
    slots = _slot(data[SIGNED_BYTES:], what), _slot(data[SIGNED_BYTES + SLOT_BYTES :], what)
    signers = [each.usage for each in slots if each.usage != Usage.NONE]
    if len(set(signers)) != len(signers) or not SIGNERS[expected].issuperset(signers):
        raise Malformed(f"{what} bears a signature of somebody who does not sign it")
    certificate = Certificate(expected, data[:SIGNED_BYTES], slots)
    certificate.public_key()
    return certificate


def unsigned_certificate(usage: Usage, key: ec.EllipticCurvePublicKey) -> Certificate:
    """Return a certificate that nobody signed, such as a guest owner's for a session."""
    algorithm = Algorithm.ECDH_SHA256 if usage is Usage.PDH else Algorithm.ECDSA_SHA256
    numbers = key.public_numbers()
    point = b"".join(n.to_bytes(COORDINATE_BYTES, "little") for n in (numbers.x, numbers.y))
    head = le32(VERSION) + bytes(4) + le32(usage) + le32(algorithm)
    public = (le32(P384) + point).ljust(KEY_BYTES, b"\0")
    return Certificate(usage, head + public, (Signature(), Signature()))


def verify_signed_by(certificate: Certificate, signer: Certificate) -> None:
    """Check the signature that ``signer`` should have made. Raises Untrusted and Malformed."""
    signature = certificate.signature_of(signer.usage)
    names = f"the {certificate.usage.name} certificate is not signed by this {signer.usage.name}"
    if signature.algorithm not in ECDSA:
        raise Untrusted(f"{names}: its signature is none of ECDSA")
    encoded = ecdsa_signature(signature.octets, f"the {certificate.usage.name} certificate")
    verifier = ec.ECDSA(HASHES[signature.algorithm]())
    try:
        signer.public_key().verify(encoded, certificate.signed, verifier)
    except InvalidSignature:
        raise Untrusted(names) from None


def ecdsa_signature(octets: bytes, what: str) -> bytes:
    """Return the DER of two numbers that AMD writes one after the other. Raises Malformed."""
    zeros(octets[2 * COORDINATE_BYTES :], what)
    r, s = octets[:COORDINATE_BYTES], octets[COORDINATE_BYTES : 2 * COORDINATE_BYTES]
    if max(little(r), little(s)).bit_length() > INTEGER_BITS:
        raise Malformed(f"{what} has a signature whose numbers are too large for P-384")
    return encode_dss_signature(little(r), little(s))


def _slot(data: bytes, what: str) -> Signature:
    signature = Signature(little(data[:4]), little(data[4:8]), data[8:SLOT_BYTES])
    if signature.usage == Usage.NONE:
        zeros(data[4:SLOT_BYTES], what)
    return signature


def _public_key(data: bytes, name: str) -> ec.EllipticCurvePublicKey:
    if little(data[:4]) != P384:
        raise Malformed(f"the {name} certificate has a key of another curve than P-384")
    x, y = data[4 : 4 + COORDINATE_BYTES], data[4 + COORDINATE_BYTES : 4 + 2 * COORDINATE_BYTES]
    try:
        return ec.EllipticCurvePublicNumbers(little(x), little(y), ec.SECP384R1()).public_key()
    except ValueError:
        raise Malformed(f"the {name} certificate's key is no point of P-384") from None


def _usage_name(usage: int) -> str:
    known = {each.value: each.name for each in Usage}
    return known.get(usage, f"{usage:#x}")
