"""Checkpoints: what a log held at one moment, signed (c2sp.org/tlog-checkpoint).

Three lines: the log's name (its origin), the number of events, the root of the hash tree over them.
Whoever keeps one can tell later whether those events are still the same.
"""

import base64
import re

import msgspec

from eventlog.errors import ForeignCheckpoint, MalformedNote
from eventlog.merkle import HASH_SIZE, TreeHead
from eventlog.note import Signer, Verifier, decode_base64, open_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")


class Checkpoint(msgspec.Struct, frozen=True):
    """A tree head: `size` leaves, which are events 1 to `size`, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def head(self) -> TreeHead:
        """Size and root alone."""
        return TreeHead(self.size, self.root)

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class SignedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint and the note that says so, with all of its signatures."""

    checkpoint: Checkpoint
    note: str


def sign_checkpoint(size: int, root: bytes, signer: Signer) -> SignedCheckpoint:
    """Sign a tree head; the signer's name is the origin."""
    checkpoint = Checkpoint(signer.verifier.name, size, root)
    return SignedCheckpoint(checkpoint, signer.sign(checkpoint.text))


def open_checkpoint(note: bytes, verifier: Verifier) -> SignedCheckpoint:
    """Read a checkpoint of the verifier's log.

    Raises MalformedNote, UntrustedNote, or ForeignCheckpoint for that of another log.
    """
    checkpoint = parse_checkpoint(open_note(note, verifier))
    if checkpoint.origin != verifier.name:
        raise ForeignCheckpoint(checkpoint.origin, verifier.name)
    return SignedCheckpoint(checkpoint, note.decode())


def parse_checkpoint(text: str) -> Checkpoint:
    """A note's text as a checkpoint; extension lines are passed over. Raises MalformedNote."""
    origin, *rest = text.split("\n")
    size, root, *extensions = rest if len(rest) > 1 else ("", "")
    if not origin or not _SIZE.fullmatch(size) or extensions[-1:] != [""] or "" in extensions[:-1]:
        raise MalformedNote("its text is no checkpoint")
    try:
        decoded = decode_base64(root)
    except ValueError:
        raise MalformedNote("its root is no base64 text") from None
    if len(decoded) != HASH_SIZE:
        raise MalformedNote("its root is no SHA-256 value")
    return Checkpoint(origin, int(size), decoded)
