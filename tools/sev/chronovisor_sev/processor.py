"""SIMULATED: what the firmware of a secure processor does for one guest. Pure.

LAUNCH_START, LAUNCH_UPDATE, LAUNCH_MEASURE, LAUNCH_SECRET, LAUNCH_FINISH and ATTESTATION of the SEV
API specification (55766), chapter 6, with its states and the errors that its callers see.

    UNINIT --start--> UPDATE --measure--> SECRET --finish--> RUNNING
"""

import hashlib
import hmac
import os
from enum import Enum, IntEnum

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from chronovisor_sev.chip import ECDSA_SHA256, P384, Chip, signature
from chronovisor_sev.vendor import KeyUsage

API = (1, 55, 24)
"""Major, minor and build of the firmware that is simulated."""
BLOB_BYTES, CERTIFICATE_BYTES, HEADER_BYTES, NONCE_BYTES = 128, 2084, 52, 16
SECRET_BYTES_MAX = 16 * 1024
SECRET_ALIGNMENT = 16
MINIMUM_API_SHIFT = 16
"""Where a policy says which API it demands: minor version above it, major below."""


class ErrorCode(IntEnum):
    """What the firmware answers where it refuses (chapter 5.1, and Linux' psp-sev.h)."""

    INVALID_GUEST_STATE = 2
    INVALID_LENGTH = 4
    INVALID_CERTIFICATE = 6
    POLICY_FAILURE = 7
    BAD_MEASUREMENT = 11


WORDS = {
    ErrorCode.INVALID_GUEST_STATE: "Guest state is invalid",
    ErrorCode.INVALID_LENGTH: "Buffer too small",
    ErrorCode.INVALID_CERTIFICATE: "Certificate is invalid",
    ErrorCode.POLICY_FAILURE: "Policy is not allowed",
    ErrorCode.BAD_MEASUREMENT: "Bad measurement",
}


class FirmwareError(Exception):
    """The firmware refuses; nothing has changed."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(f"{code.value} '{WORDS[code]}'")
        self.code = code


class GuestState(Enum):
    """As query-sev names it (qapi/misc-target.json, SevState)."""

    UNINIT = "uninit"
    UPDATE = "launch-update"
    SECRET = "launch-secret"
    RUNNING = "running"


class Launch:
    """One guest, as its firmware knows it."""

    def __init__(self, chip: Chip) -> None:
        self.state = GuestState.UNINIT
        self.policy = 0
        self.version = API
        self.tek = self.tik = b""
        self.mac = b""
        self._chip = chip
        self._nonce = b""
        self._measured = hashlib.sha256()

    @property
    def digest(self) -> bytes:
        """The launch digest of what was put into the guest so far."""
        return self._measured.digest()

    def start(self, blob: bytes, certificate: bytes, policy: int) -> None:
        """Unwrap a session's keys, and begin a guest of this policy. Raises FirmwareError."""
        self._demand(GuestState.UNINIT)
        if len(blob) != BLOB_BYTES or len(certificate) != CERTIFICATE_BYTES:
            raise FirmwareError(ErrorCode.INVALID_LENGTH)
        if _minimum_api(policy) > self.version[:2]:
            raise FirmwareError(ErrorCode.POLICY_FAILURE)
        shared = self._chip.pdh_key.exchange(ec.ECDH(), _owners_key(certificate))
        keys = unwrap(shared, blob)
        self.tek, self.tik = keys[:16], keys[16:]
        _demand_mac(self.tik, policy.to_bytes(4, "little"), blob[96:128])
        self.policy, self.state = policy, GuestState.UPDATE

    def update(self, data: bytes) -> None:
        """Encrypt memory of the guest, and measure it. Raises FirmwareError."""
        self._demand(GuestState.UPDATE)
        self._measured.update(data)

    def measure(self) -> bytes:
        """Return MEASURE and MNONCE, 48 bytes. Raises FirmwareError."""
        self._demand(GuestState.UPDATE)
        self._nonce = os.urandom(NONCE_BYTES)
        self.mac = self._measure(self.tik, self._nonce)
        self.state = GuestState.SECRET
        return self.mac + self._nonce

    def take(self, header: bytes, ciphertext: bytes) -> bytes:
        """Return the secret in plain text. Raises FirmwareError."""
        self._demand(GuestState.SECRET)
        size = len(ciphertext)
        fits = 0 < size <= SECRET_BYTES_MAX and size % SECRET_ALIGNMENT == 0
        if len(header) != HEADER_BYTES or not fits:
            raise FirmwareError(ErrorCode.INVALID_LENGTH)
        flags, iv, mac = header[:4], header[4:20], header[20:]
        length = size.to_bytes(4, "little")
        _demand_mac(self.tik, b"\x01" + flags + iv + length * 2 + ciphertext + self.mac, mac)
        return ctr(self.tek, iv, ciphertext)

    def finish(self) -> None:
        """Let the guest run. Raises FirmwareError."""
        self._demand(GuestState.SECRET)
        self.state = GuestState.RUNNING

    def report(self, nonce: bytes) -> bytes:
        """Return 208 bytes that the PEK signs. Raises FirmwareError."""
        if self.state in (GuestState.UNINIT, GuestState.UPDATE):
            raise FirmwareError(ErrorCode.INVALID_GUEST_STATE)
        if len(nonce) != NONCE_BYTES:
            raise FirmwareError(ErrorCode.INVALID_LENGTH)
        said = nonce + self.digest + self.policy.to_bytes(4, "little")
        words = (KeyUsage.PEK, ECDSA_SHA256, 0)
        head = b"".join(word.to_bytes(4, "little") for word in words)
        return said + head + signature(self._chip.pek_key, said)

    def _measure(self, tik: bytes, nonce: bytes) -> bytes:
        said = b"\x04" + bytes(self.version) + self.policy.to_bytes(4, "little") + self.digest
        return hmac.new(tik, said + nonce, hashlib.sha256).digest()

    def _demand(self, state: GuestState) -> None:
        if self.state is not state:
            raise FirmwareError(ErrorCode.INVALID_GUEST_STATE)


def unwrap(shared: bytes, blob: bytes) -> bytes:
    """Return TEK and TIK of a session's blob. Raises FirmwareError."""
    nonce, wrapped, iv, wrap_mac = blob[:16], blob[16:48], blob[48:64], blob[64:96]
    master = kdf(shared, b"sev-master-secret", nonce)
    _demand_mac(kdf(master, b"sev-kik", b""), wrapped, wrap_mac)
    return ctr(kdf(master, b"sev-kek", b""), iv, wrapped)


def kdf(key: bytes, label: bytes, context: bytes) -> bytes:
    """NIST SP 800-108 in counter mode; AMD writes the counter and the length little-endian."""
    length = (128).to_bytes(4, "little")
    said = (1).to_bytes(4, "little") + label + b"\0" + context + length
    return hmac.new(key, said, hashlib.sha256).digest()[:16]


def ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-128-CTR, which encrypts as it decrypts."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).decryptor()
    return cipher.update(data) + cipher.finalize()


def _demand_mac(key: bytes, data: bytes, mac: bytes) -> None:
    if not hmac.compare_digest(hmac.new(key, data, hashlib.sha256).digest(), mac):
        raise FirmwareError(ErrorCode.BAD_MEASUREMENT)


def _minimum_api(policy: int) -> tuple[int, int]:
    wanted = policy >> MINIMUM_API_SHIFT
    return wanted & 0xFF, wanted >> 8


def _owners_key(certificate: bytes) -> ec.EllipticCurvePublicKey:
    """Return the point of a GODH certificate, which nobody signs. Raises FirmwareError."""
    words = [int.from_bytes(certificate[at : at + 4], "little") for at in (0, 8, 16)]
    if words != [1, KeyUsage.PDH, P384]:
        raise FirmwareError(ErrorCode.INVALID_CERTIFICATE)
    x, y = (int.from_bytes(certificate[at : at + 72], "little") for at in (20, 92))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()
    except ValueError:
        raise FirmwareError(ErrorCode.INVALID_CERTIFICATE) from None
