"""A session between the owner and one secure processor, through a host that neither trusts.

The owner makes two keys: TEK encrypts what goes to the guest, TIK signs it and the measurement.
They travel wrapped under a key on which the owner's own key (GODH) agrees with the platform's PDH.

Source: SEV API specification, section 2.2.2, and appendix A for the session buffer.
"""

import hashlib
import hmac
import os

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from supervisor.sev.certificate import Usage, unsigned_certificate
from supervisor.sev.octets import exactly, le32

KEY_BYTES = 16
NONCE_BYTES = 16
MAC_BYTES = 32
LABEL_MASTER = "sev-master-secret"
LABEL_KEK = "sev-kek"
LABEL_KIK = "sev-kik"


class TransportKeys(msgspec.Struct, frozen=True):
    """The two keys that only the owner and the secure processor know."""

    tek: bytes
    tik: bytes

    def __repr__(self) -> str:
        return "TransportKeys(tek=..., tik=...)"  # tracebacks and logs show representations

    def encode(self) -> bytes:
        """Return TEK | TIK, which virt-qemu-sev-validate takes as --tk."""
        return self.tek + self.tik


class SessionBlob(msgspec.Struct, frozen=True):
    """What the host hands to LAUNCH_START: keys that it cannot unwrap, for one policy."""

    nonce: bytes
    wrapped: bytes
    iv: bytes
    wrap_mac: bytes
    policy_mac: bytes

    def encode(self) -> bytes:
        """Return 128 bytes."""
        return self.nonce + self.wrapped + self.iv + self.wrap_mac + self.policy_mac


class Session(msgspec.Struct, frozen=True):
    """A fresh session: the keys stay with the owner, the rest goes to the host."""

    keys: TransportKeys
    policy: int
    blob: bytes
    certificate: bytes


def new_session(pdh: ec.EllipticCurvePublicKey, policy: int) -> Session:
    """Make a session with the platform whose verified PDH this is; each launch needs another."""
    ephemeral = ec.generate_private_key(ec.SECP384R1())
    keys = TransportKeys(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))
    shared = ephemeral.exchange(ec.ECDH(), pdh)
    blob = wrap(shared, keys, policy, os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES))
    certificate = unsigned_certificate(Usage.PDH, ephemeral.public_key())
    return Session(keys, policy, blob.encode(), certificate.encode())


def wrap(shared: bytes, keys: TransportKeys, policy: int, nonce: bytes, iv: bytes) -> SessionBlob:
    """Wrap keys under what both sides agreed on (the X coordinate, big-endian)."""
    encryption, integrity = wrapping_keys(shared, nonce)
    wrapped = aes_ctr(encryption, iv, keys.encode())
    return SessionBlob(
        nonce,
        wrapped,
        iv,
        wrap_mac=hmac.digest(integrity, wrapped, hashlib.sha256),
        policy_mac=hmac.digest(keys.tik, le32(policy), hashlib.sha256),
    )


def wrapping_keys(shared: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """Return the key that encrypts the wrapped keys, and the one that signs them."""
    master = derive_key(shared, LABEL_MASTER, nonce)
    return derive_key(master, LABEL_KEK), derive_key(master, LABEL_KIK)


def derive_key(key: bytes, label: str, context: bytes = b"") -> bytes:
    """Return 16 bytes of the counter-mode KDF of NIST SP 800-108 with HMAC-SHA-256."""
    fixed = label.encode("ascii") + b"\0" + context + le32(8 * KEY_BYTES)
    return hmac.digest(key, le32(1) + fixed, hashlib.sha256)[:KEY_BYTES]


def aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt with AES-128-CTR, which is the same."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def parse_keys(data: bytes) -> TransportKeys:
    """Read TEK | TIK. Raises Malformed."""
    exactly(data, 2 * KEY_BYTES, "the file of the session's keys")
    return TransportKeys(data[:KEY_BYTES], data[KEY_BYTES:])
