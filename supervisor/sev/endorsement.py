"""AMD's X.509 certificates for SEV-SNP: ARK -> ASK -> VCEK, or ARK -> ASVK -> VLEK.

A VCEK is of one chip at one TCB, a VLEK of one cloud provider at one TCB; extensions of AMD's say
which. Source: AMD's "VCEK Certificate and KDS Interface Specification", 57230.
"""

import datetime
import warnings
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning

from supervisor.sev.errors import Malformed, Untrusted
from supervisor.sev.report import SigningKey
from supervisor.sev.tcb import Tcb

AMD = "1.3.6.1.4.1.3704.1."
OF_PART = {
    "bootloader": AMD + "3.1",
    "tee": AMD + "3.2",
    "snp": AMD + "3.3",
    "microcode": AMD + "3.8",
    "fmc": AMD + "3.9",
}
CHIP_ID = AMD + "4"
PROVIDER_ID = AMD + "5"
DER_INTEGER = 2
CERTIFICATES_MAX = 8
"""AMD's bundles have two or three."""


DAMAGE = (
    *(ValueError, TypeError),
    *(UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension),
)
"""What reading a certificate raises: most of its fields are only read when they are asked for."""


class Endorsement(msgspec.Struct, frozen=True):
    """What a verified VCEK or VLEK says: whose key it is, and which TCB it stands for."""

    key: ec.EllipticCurvePublicKey
    signer: SigningKey
    tcb: Tcb
    chip_id: bytes


def parse_x509(data: bytes, what: str) -> list[x509.Certificate]:
    """Read certificates as PEM, or one as DER. Raises Malformed."""
    try:
        with warnings.catch_warnings():
            # AMD gives every VCEK the serial number 0, which RFC 5280 forbids.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            pem = data.lstrip().startswith(b"-----BEGIN")
            found = (
                x509.load_pem_x509_certificates(data)
                if pem
                else [x509.load_der_x509_certificate(data)]
            )
    except DAMAGE:
        raise Malformed(f"{what} is no X.509 certificate, or it is damaged") from None
    if len(found) > CERTIFICATES_MAX:
        raise Malformed(
            f"{what} holds {len(found)} certificates, and at most {CERTIFICATES_MAX} do"
        )
    return found


def verify_endorsement(
    leaf: x509.Certificate, authorities: Sequence[x509.Certificate], now: datetime.datetime
) -> Endorsement:
    """Check the chain from a VCEK or VLEK to the one root among ``authorities``.

    Raises:
        Untrusted: There is not one root, a signature is wrong, or a certificate is out of date.
        Malformed: AMD's extensions are missing or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged name warns, and is refused all the same
            return _verified(leaf, authorities, now)
    except DAMAGE:
        raise Malformed(
            "the certificate of the report's key, or one of AMD's, is damaged inside"
        ) from None


def _verified(
    leaf: x509.Certificate, authorities: Sequence[x509.Certificate], now: datetime.datetime
) -> Endorsement:
    roots = [each for each in authorities if each.subject == each.issuer]
    if len(roots) != 1:
        raise Untrusted(f"AMD's certificates hold {len(roots)} roots, and must hold one: the ARK")
    middle = _issuer_of(leaf, authorities)
    if middle is roots[0]:
        raise Untrusted("the root itself signed the report's key, which AMD never does")
    _check_issued(roots[0], roots[0], now)
    _check_issued(middle, roots[0], now)
    _check_issued(leaf, middle, now)
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise Malformed("the certificate of the report's key has no key of P-384")
    return _endorsement(leaf, key)


def _issuer_of(leaf: x509.Certificate, authorities: Sequence[x509.Certificate]) -> x509.Certificate:
    for each in authorities:
        if each.subject == leaf.issuer:
            return each
    issuer = leaf.issuer.rfc4514_string()
    raise Untrusted(
        f"AMD's certificates do not hold the issuer of the report's key, {issuer}: "
        "they are of another generation, or for the other of VCEK and VLEK"
    )


def _check_issued(
    certificate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime
) -> None:
    subject = certificate.subject.rfc4514_string()
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise Untrusted(f"the certificate {subject} is not signed by its issuer's key") from None
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Untrusted(f"the certificate {subject} is not valid at this time")


def _endorsement(leaf: x509.Certificate, key: ec.EllipticCurvePublicKey) -> Endorsement:
    found = _extensions(leaf)
    numbers = {part: _number(found[oid]) for part, oid in OF_PART.items() if oid in found}
    if not {"bootloader", "tee", "snp", "microcode"} <= numbers.keys():
        raise Malformed("the certificate of the report's key does not say which TCB it stands for")
    if CHIP_ID in found:
        return Endorsement(key, SigningKey.VCEK, Tcb(**numbers), found[CHIP_ID])
    if PROVIDER_ID in found:
        return Endorsement(key, SigningKey.VLEK, Tcb(**numbers), b"")
    raise Malformed("the certificate of the report's key names neither a chip nor a provider")


def _extensions(leaf: x509.Certificate) -> dict[str, bytes]:
    return {
        each.oid.dotted_string: each.value.value
        for each in leaf.extensions
        if isinstance(each.value, x509.UnrecognizedExtension)
    }


def _number(der: bytes) -> int:
    if len(der) < 3 or der[0] != DER_INTEGER or der[1] != len(der) - 2:
        raise Malformed("the certificate of the report's key has a TCB that is no integer")
    return int.from_bytes(der[2:], "big")
