"""SIMULATED: a secure processor of our own, as far as an owner can tell it from AMD's.

Written from the specification and without the code under test, but for the layout of an unsigned
certificate.
"""

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from supervisor.sev.certificate import Usage, parse_certificate, unsigned_certificate
from tests.sev.amd import Generation

NO_SIGNATURE = (0x1000).to_bytes(4, "little") + bytes(516)
ECDSA_SHA256 = 2


class Refused(Exception):
    """What the firmware would answer with an error."""


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

    def capabilities(self) -> str:
        """QMP's reply to query-sev-capabilities."""
        parts = {"pdh": self.pdh, "cert-chain": self.cert_chain, "cpu0-id": self.chip_id}
        texts = {name: base64.b64encode(data).decode() for name, data in parts.items()}
        return json.dumps({"return": {**texts, "cbitpos": 51, "reduced-phys-bits": 1}})


@dataclass
class Launch:
    """A launch of one guest: what the firmware holds of it."""

    tek: bytes
    tik: bytes
    policy: int
    version: tuple[int, int, int] = (1, 55, 24)
    nonce: bytes = field(default_factory=lambda: os.urandom(16))
    mac: bytes = b""

    def measure(self, digest: bytes) -> bytes:
        said = b"\x04" + bytes(self.version) + self.policy.to_bytes(4, "little") + digest
        self.mac = hmac.new(self.tik, said + self.nonce, hashlib.sha256).digest()
        return self.mac + self.nonce

    def take(self, header: bytes, ciphertext: bytes) -> bytes:
        flags, iv, mac = header[:4], header[4:20], header[20:]
        size = len(ciphertext).to_bytes(4, "little")
        said = b"\x01" + flags + iv + size + size + ciphertext + self.mac
        if len(header) != 52 or hmac.new(self.tik, said, hashlib.sha256).digest() != mac:
            raise Refused("bad measurement")
        return ctr(self.tek, iv, ciphertext)


def new_chip(generation: Generation) -> Chip:
    cek, oca, pek, pdh = (ec.generate_private_key(ec.SECP384R1()) for _ in range(4))
    bodies = {
        usage: unsigned_certificate(usage, key.public_key()).signed
        for usage, key in ((Usage.CEK, cek), (Usage.OCA, oca), (Usage.PEK, pek), (Usage.PDH, pdh))
    }
    algorithm, signature = generation.sign_cek(bodies[Usage.CEK])
    by_amd = slot(Usage.ASK, algorithm, signature)
    of_pek = bodies[Usage.PEK]
    return Chip(
        pdh,
        pek,
        pdh=bodies[Usage.PDH] + slot_of(Usage.PEK, pek, bodies[Usage.PDH]) + NO_SIGNATURE,
        pek=of_pek + slot_of(Usage.OCA, oca, of_pek) + slot_of(Usage.CEK, cek, of_pek),
        oca=bodies[Usage.OCA] + slot_of(Usage.OCA, oca, bodies[Usage.OCA]) + NO_SIGNATURE,
        cek=bodies[Usage.CEK] + by_amd + NO_SIGNATURE,
        bare_cek=bodies[Usage.CEK] + NO_SIGNATURE + NO_SIGNATURE,
    )


def slot_of(usage: Usage, key: ec.EllipticCurvePrivateKey, body: bytes) -> bytes:
    pair = decode_dss_signature(key.sign(body, ec.ECDSA(hashes.SHA256())))
    return slot(usage, ECDSA_SHA256, b"".join(number.to_bytes(72, "little") for number in pair))


def slot(usage: Usage, algorithm: int, signature: bytes) -> bytes:
    head = usage.to_bytes(4, "little") + algorithm.to_bytes(4, "little")
    return head + signature.ljust(512, b"\0")


def start(chip: Chip, blob: bytes, certificate: bytes, policy: int) -> Launch:
    """LAUNCH_START: unwrap a session's keys."""
    owner = parse_certificate(certificate, Usage.PDH).public_key()
    shared = chip.pdh_key.exchange(ec.ECDH(), owner)
    nonce, wrapped, iv, wrap_mac, policy_mac = (
        blob[at : at + size] for at, size in ((0, 16), (16, 32), (48, 16), (64, 32), (96, 32))
    )
    master = kdf(shared, b"sev-master-secret", nonce)
    kek, kik = kdf(master, b"sev-kek", b""), kdf(master, b"sev-kik", b"")
    if hmac.new(kik, wrapped, hashlib.sha256).digest() != wrap_mac:
        raise Refused("bad measurement")
    keys = ctr(kek, iv, wrapped)
    tek, tik = keys[:16], keys[16:]
    if hmac.new(tik, policy.to_bytes(4, "little"), hashlib.sha256).digest() != policy_mac:
        raise Refused("bad measurement")
    return Launch(tek, tik, policy)


def kdf(key: bytes, label: bytes, context: bytes) -> bytes:
    """NIST SP 800-108 in counter mode; AMD writes the counter and the length little-endian."""
    length = (128).to_bytes(4, "little")
    said = (1).to_bytes(4, "little") + label + b"\0" + context + length
    return hmac.new(key, said, hashlib.sha256).digest()[:16]


def ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).decryptor()
    return cipher.update(data) + cipher.finalize()
