"""SIMULATED: the keys and certificates of one secure processor, and where they are kept.

Certificates are 2084 bytes: 1044 that are signed, then two places for signatures (SEV API
specification, appendix C.1).
"""

import base64
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from chronovisor_sev.vendor import Generation, KeyUsage, new_generation

SIGNED_BYTES = 1044
COORDINATE_BYTES = 72
ECDSA_SHA256, ECDH_SHA256 = 2, 3
P384 = 2
NO_SIGNATURE = (0x1000).to_bytes(4, "little") + bytes(516)
CBITPOS, REDUCED_PHYS_BITS = 51, 1
"""Those of a Milan processor."""
BITS = 4096
"""Of the roots: those of every generation since Rome."""

PARTS = ("pdh", "pek", "oca", "cek", "bare_cek", "chip_id")
ROOTS = "ask_ark.cert"
SIGNED_CEK = "cek.cert"


@dataclass(frozen=True)
class Chip:
    """Its certificates, and the private keys that it uses."""

    pdh_key: ec.EllipticCurvePrivateKey
    pek_key: ec.EllipticCurvePrivateKey
    pdh: bytes
    pek: bytes
    oca: bytes
    cek: bytes
    bare_cek: bytes
    chip_id: bytes = field(default_factory=lambda: os.urandom(64))

    @property
    def cert_chain(self) -> bytes:
        """As QMP answers it: with a CEK that AMD has not signed."""
        return self.pek + self.oca + self.bare_cek

    def facts(self) -> dict[str, object]:
        """Return what QMP answers to query-sev-capabilities."""
        parts = {"pdh": self.pdh, "cert-chain": self.cert_chain, "cpu0-id": self.chip_id}
        texts = {name: base64.b64encode(data).decode() for name, data in parts.items()}
        return {**texts, "cbitpos": CBITPOS, "reduced-phys-bits": REDUCED_PHYS_BITS}

    def capabilities(self) -> str:
        """Return QMP's whole reply to query-sev-capabilities."""
        return json.dumps({"return": self.facts()})


def new_chip(generation: Generation) -> Chip:
    """Make a chip that this generation's ASK vouches for."""
    cek, oca, pek, pdh = (ec.generate_private_key(ec.SECP384R1()) for _ in range(4))
    of_cek, of_oca = body(KeyUsage.CEK, cek), body(KeyUsage.OCA, oca)
    of_pek, of_pdh = body(KeyUsage.PEK, pek), body(KeyUsage.PDH, pdh)
    algorithm, signature = generation.sign_cek(of_cek)
    return Chip(
        pdh,
        pek,
        pdh=of_pdh + signed_by(KeyUsage.PEK, pek, of_pdh) + NO_SIGNATURE,
        pek=of_pek + signed_by(KeyUsage.OCA, oca, of_pek) + signed_by(KeyUsage.CEK, cek, of_pek),
        oca=of_oca + signed_by(KeyUsage.OCA, oca, of_oca) + NO_SIGNATURE,
        cek=of_cek + slot(KeyUsage.ASK, algorithm, signature) + NO_SIGNATURE,
        bare_cek=of_cek + NO_SIGNATURE + NO_SIGNATURE,
    )


def body(usage: KeyUsage, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return what is signed of a certificate."""
    algorithm = ECDH_SHA256 if usage is KeyUsage.PDH else ECDSA_SHA256
    head = b"".join(number.to_bytes(4, "little") for number in (1, 0, usage, algorithm, P384))
    numbers = key.public_key().public_numbers()
    point = b"".join(n.to_bytes(COORDINATE_BYTES, "little") for n in (numbers.x, numbers.y))
    return (head + point).ljust(SIGNED_BYTES, b"\0")


def signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign as the firmware does: r, then s, 72 bytes each, least significant byte first."""
    pair = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return b"".join(number.to_bytes(COORDINATE_BYTES, "little") for number in pair)


def signed_by(usage: int, key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Return the place of a signature, filled."""
    return slot(usage, ECDSA_SHA256, signature(key, data))


def slot(usage: int, algorithm: int, octets: bytes) -> bytes:
    """Return the place of a signature."""
    head = usage.to_bytes(4, "little") + algorithm.to_bytes(4, "little")
    return head + octets.ljust(512, b"\0")


def save_new_chip(directory: Path) -> Chip:
    """Make an AMD and a chip of it, and keep both in a directory.

    Everybody may read it: QEMU may run as another user, and these keys protect nothing.
    """
    generation = new_generation(BITS)
    chip = new_chip(generation)
    directory.mkdir(mode=0o755, exist_ok=True)
    contents = {name: getattr(chip, name) for name in PARTS}
    contents |= {"pdh_key": _private(chip.pdh_key), "pek_key": _private(chip.pek_key)}
    contents |= {ROOTS: generation.ask + generation.ark, SIGNED_CEK: chip.cek}
    for name, content in contents.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o644)
    directory.chmod(0o755)
    return chip


def load_chip(directory: Path) -> Chip:
    """Return the chip that :func:`save_new_chip` kept."""
    parts = {name: (directory / name).read_bytes() for name in PARTS}
    return Chip(_key(directory / "pdh_key"), _key(directory / "pek_key"), **parts)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
