"""SIMULATED: AMD's X.509 certificates for SEV-SNP, and reports, of our own making."""

import datetime
import os
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
YEAR = datetime.timedelta(days=365)
AMD = "1.3.6.1.4.1.3704.1."
TCB = {"3.1": 3, "3.2": 0, "3.3": 8, "3.8": 115}
PACKED_TCB = bytes((3, 0, 0, 0, 0, 0, 8, 115))
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), salt_length=48)
VCEK, VLEK = 0, 1


@dataclass(frozen=True)
class Amd:
    """A root, and the key below it that signs the keys of chips."""

    ark_key: rsa.RSAPrivateKey
    ask_key: rsa.RSAPrivateKey
    ark: x509.Certificate
    ask: x509.Certificate


@dataclass(frozen=True)
class SnpChip:
    """What signs reports: a chip's VCEK, or a provider's VLEK."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chip_id: bytes
    signing_key: int = VCEK


@dataclass
class Report:
    """The parts of a report that tests change."""

    chip_id: bytes
    signing_key: int = VCEK
    key_masked: bool = False
    version: int = 2
    policy: int = 0x30000
    vmpl: int = 0
    algorithm: int = 1
    family: int = 0
    report_data: bytes = b"n" * 64
    measurement: bytes = b"m" * 48
    host_data: bytes = b"h" * 32
    id_key_digest: bytes = b"i" * 48
    reported_tcb: bytes = PACKED_TCB
    launch_tcb: bytes = PACKED_TCB
    others: dict[int, bytes] = field(default_factory=dict)

    def signed_by(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        body = bytearray(0x2A0)
        parts = {
            0x00: self.version.to_bytes(4, "little"),
            0x08: self.policy.to_bytes(8, "little"),
            0x30: self.vmpl.to_bytes(4, "little"),
            0x34: self.algorithm.to_bytes(4, "little"),
            0x48: (self.signing_key << 2 | self.key_masked << 1).to_bytes(4, "little"),
            0x50: self.report_data,
            0x90: self.measurement,
            0xC0: self.host_data,
            0xE0: self.id_key_digest,
            0x180: self.reported_tcb,
            0x188: bytes([self.family]),
            0x1A0: self.chip_id,
            0x1F0: self.launch_tcb,
            **self.others,
        }
        for at, part in parts.items():
            body[at : at + len(part)] = part
        pair = decode_dss_signature(key.sign(bytes(body), ec.ECDSA(hashes.SHA384())))
        numbers = b"".join(number.to_bytes(72, "little") for number in pair)
        return bytes(body) + numbers.ljust(512, b"\0")


def new_amd(name: str = "Milan") -> Amd:
    ark_key, ask_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    ark = issued(f"ARK-{name}", ark_key.public_key(), f"ARK-{name}", ark_key)
    ask = issued(f"SEV-{name}", ask_key.public_key(), f"ARK-{name}", ark_key)
    return Amd(ark_key, ask_key, ark, ask)


def new_snp_chip(
    amd: Amd, signing_key: int = VCEK, extensions: dict[str, bytes] | None = None
) -> SnpChip:
    key, chip_id = ec.generate_private_key(ec.SECP384R1()), os.urandom(64)
    naming = {"4": chip_id} if signing_key == VCEK else {"5": b"\x16\x05cloud"}
    said = {**{oid: integer(number) for oid, number in TCB.items()}, **naming}
    said.update(extensions or {})
    certificate = issued("SEV-VCEK", key.public_key(), common_name(amd.ask), amd.ask_key, said)
    return SnpChip(key, certificate, chip_id, signing_key)


def integer(number: int) -> bytes:
    return bytes((2, 1, number))


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def issued(
    subject: str,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: rsa.RSAPrivateKey,
    extensions: dict[str, bytes] | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - YEAR)
        .not_valid_after(NOW + 30 * YEAR)
    )
    for oid, value in (extensions or {}).items():
        made = x509.UnrecognizedExtension(x509.ObjectIdentifier(AMD + oid), value)
        builder = builder.add_extension(made, critical=False)
    return builder.sign(issuer_key, hashes.SHA384(), rsa_padding=PSS)
