"""Proofs as files: that an event is in a log, and that one checkpoint continues another.

A proof needs nothing but the log's public key to be checked: no log, no daemon, no network. The
file is JSON in one exact form, so that no byte of it can be changed without being noticed. Its
`record` is for people; what is proved is `event`, the bytes themselves.
"""

from typing import Any

import msgspec

from eventlog import record
from eventlog.checkpoint import Checkpoint, open_checkpoint
from eventlog.errors import ProofRefused
from eventlog.merkle import PATH_LIMIT, is_consistent, leaf_hash, root_from_inclusion
from eventlog.note import Verifier
from eventlog.record import Record

PROOF_LIMIT = 1024 * 1024
"""Bytes of a proof's file: an event of 64 KiB shown three times, and room."""


class InclusionProof(msgspec.Struct, frozen=True, tag_field="proof", tag="eventlog.inclusion.v1"):
    """Event `position` is in the log that signed `checkpoint`, at leaf `position - 1`."""

    position: int
    record: dict[str, Any]
    event: bytes
    path: list[bytes]
    checkpoint: str


class ConsistencyProof(
    msgspec.Struct, frozen=True, tag_field="proof", tag="eventlog.consistency.v1"
):
    """The log that signed `old` is the beginning of the one that signed `new`."""

    path: list[bytes]
    old: str
    new: str


class Included(msgspec.Struct, frozen=True):
    """What an inclusion proof showed."""

    record: Record
    checkpoint: Checkpoint


class Consistent(msgspec.Struct, frozen=True):
    """What a consistency proof showed."""

    old: Checkpoint
    new: Checkpoint


_decode = msgspec.json.Decoder(InclusionProof | ConsistencyProof).decode


def encode_proof(proof: InclusionProof | ConsistencyProof) -> bytes:
    """The proof's file."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def view(event: Record) -> dict[str, Any]:
    """An event for people: its fields, with the payload decoded and bytes in base64."""
    fields = msgspec.structs.asdict(event)
    fields["payload"] = msgspec.msgpack.decode(event.payload)
    shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields))
    return shown


def check_proof(data: bytes, verifier: Verifier) -> Included | Consistent:
    """Check a proof's file with the log's public key, and nothing else.

    Raises EvidenceRefused: ProofRefused, or what `open_checkpoint` raises.
    """
    if len(data) > PROOF_LIMIT:
        raise ProofRefused(f"the file has more than {PROOF_LIMIT} bytes")
    try:
        proof = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofRefused(f"the file cannot be read ({error})") from None
    if encode_proof(proof) != data:
        raise ProofRefused("the file was changed or formatted anew after it was made")
    if len(proof.path) > PATH_LIMIT:
        raise ProofRefused("its path is too long")
    if isinstance(proof, InclusionProof):
        return check_inclusion(proof, verifier)
    return check_consistency(proof, verifier)


def check_inclusion(proof: InclusionProof, verifier: Verifier) -> Included:
    """Check that the event is in the log. Raises as `check_proof` does."""
    event = _event(proof)
    signed = open_checkpoint(proof.checkpoint.encode(), verifier).checkpoint
    root = root_from_inclusion(proof.position - 1, signed.size, leaf_hash(proof.event), proof.path)
    if root != signed.root:
        raise ProofRefused("the path does not lead from this event to the root that was signed")
    return Included(event, signed)


def check_consistency(proof: ConsistencyProof, verifier: Verifier) -> Consistent:
    """Check that nothing before the old checkpoint changed. Raises as `check_proof` does."""
    old = open_checkpoint(proof.old.encode(), verifier).checkpoint
    new = open_checkpoint(proof.new.encode(), verifier).checkpoint
    if not is_consistent(old.size, old.root, new.size, new.root, proof.path):
        raise ProofRefused("the new checkpoint does not continue the old one")
    return Consistent(old, new)


def _event(proof: InclusionProof) -> Record:
    try:
        (event,) = record.decode(record.body(1, proof.event))
        shown = view(event)
    except (msgspec.DecodeError, ValueError) as error:
        raise ProofRefused(f"the event cannot be read ({error})") from None
    if (event.position, shown) != (proof.position, proof.record):
        raise ProofRefused("what it shows for people is not what its event says")
    return event
