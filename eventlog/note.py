"""Signed notes with Ed25519, and their keys as text (c2sp.org/signed-note).

A note is text, an empty line, and one line per signature. Every encoding is held to its one
canonical form, so no byte of a note or of a key can be changed without being noticed.
"""

import base64
import binascii
import re
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from eventlog.errors import MalformedKey, MalformedNote, UnknownSigner, UntrustedNote

NOTE_LIMIT = 128 * 1024
"""Bytes of a note: room for the 16 signatures that a verifier must take, at 5 kB the largest."""

_ED25519 = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4
_NAME = re.compile(r"[^\s+]+")
_PRIVATE = "PRIVATE+KEY+"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE = re.compile(r"— (\S+) (\S+)")


class Verifier(msgspec.Struct, frozen=True):
    """A public key and the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that help to find the key; no proof of anything."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_encode(_ED25519 + self.public)}"


class Signer:
    """A private key and the name it signs under. Its text form is a secret, and has no repr."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> "Signer":
        """A new key. Raises MalformedKey for a name with blanks or `+`."""
        _check_name(name)
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    def secret(self) -> str:
        """The key as text, for a file that only its owner reads."""
        verifier = self.verifier
        return f"{_PRIVATE}{verifier.name}+{verifier.key_id.hex()}+{_encode(_ED25519 + self._seed)}"

    def sign(self, text: str) -> str:
        """The signed note over `text`, which must end with a newline."""
        if not text.endswith("\n") or _CONTROL.search(text):
            raise MalformedNote("a note's text ends with a newline and has no control characters")
        signature = _encode(self.verifier.key_id + self._key.sign(text.encode()))
        return f"{text}\n— {self.verifier.name} {signature}\n"


def parse_verifier(text: str) -> Verifier:
    """A verifier key: name, key id and key, joined by `+`. Raises MalformedKey."""
    name, _, rest = text.partition("+")
    verifier = Verifier(name, _key_bytes(rest))
    _check_name(name)
    if str(verifier) != text:
        raise MalformedKey("its key id does not match")
    return verifier


def parse_signer(text: str) -> Signer:
    """A private key as `Signer.secret` writes it. Raises MalformedKey, never showing the key."""
    name, _, rest = text.removeprefix(_PRIVATE).partition("+")
    signer = Signer(name, _key_bytes(rest))
    _check_name(name)
    if signer.secret() != text:
        raise MalformedKey("its key id does not match")
    return signer


def open_note(note: bytes, verifier: Verifier) -> str:
    """The text of a note that this key has signed. Signatures of other keys are passed over.

    Raises MalformedNote, UnknownSigner, or UntrustedNote where the key's signature is wrong.
    """
    text, signatures = _parts(note)
    mine = [
        signature
        for name, signature in signatures
        if (name, signature[:_ID_BYTES]) == (verifier.name, verifier.key_id)
    ]
    if not mine:
        signers = ", ".join(sorted({name for name, _ in signatures}))
        raise UnknownSigner(f"it is signed by {signers}, and not by the key of {verifier.name}")
    public = Ed25519PublicKey.from_public_bytes(verifier.public)
    try:
        for signature in mine:
            public.verify(signature[_ID_BYTES:], text.encode())
    except InvalidSignature:
        raise UntrustedNote(f"the signature of {verifier.name} does not match its text") from None
    return text


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > NOTE_LIMIT:
        raise MalformedNote(f"it has more than {NOTE_LIMIT} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise MalformedNote("it is no UTF-8 text") from None
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or _CONTROL.search(whole):
        raise MalformedNote("it is cut short, or no note at all")
    return f"{text}\n", [_signature(line) for line in lines[:-1].split("\n")]


def _signature(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE.fullmatch(line)
    if match is None or not _NAME.fullmatch(match[1]):
        raise MalformedNote("a line of its signatures is none")
    try:
        signature = decode_base64(match[2])
    except ValueError:
        raise MalformedNote("a signature is no base64 text") from None
    if len(signature) <= _ID_BYTES:
        raise MalformedNote("a signature is too short")
    return match[1], signature


def _key_bytes(rest: str) -> bytes:
    _, _, encoded = rest.partition("+")
    try:
        data = decode_base64(encoded)
    except ValueError:
        raise MalformedKey("it is not NAME+ID+KEY with a key in base64") from None
    if len(data) != 1 + _KEY_BYTES or data[:1] != _ED25519:
        raise MalformedKey("it is no Ed25519 key")
    return data[1:]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or _CONTROL.search(name):
        raise MalformedKey("its name is empty, or has blanks or `+` in it")


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """The bytes of canonical base64 (RFC 4648, section 4). Raises ValueError for any other text."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if _encode(data) != text:
        raise ValueError("bits that mean nothing are set")
    return data
