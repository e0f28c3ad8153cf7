"""Checkpoints: the example of their specification, and what is none."""

import pytest

from eventlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from eventlog.errors import EvidenceRefused, ForeignCheckpoint, MalformedNote, UntrustedNote
from eventlog.merkle import EMPTY_ROOT
from eventlog.note import Signer

ORIGIN = "example.com/behind-the-sofa"
EXAMPLE = f"{ORIGIN}\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer.generate(ORIGIN)


def test_the_example_of_the_specification_is_read_and_written() -> None:
    checkpoint = parse_checkpoint(EXAMPLE)
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
    assert checkpoint.text == EXAMPLE


def test_extension_lines_are_passed_over() -> None:
    assert parse_checkpoint(f"{EXAMPLE}extension\n") == parse_checkpoint(EXAMPLE)


def test_a_signed_checkpoint_opens_with_its_key(signer: Signer) -> None:
    signed = sign_checkpoint(0, EMPTY_ROOT, signer)
    assert open_checkpoint(signed.note.encode(), signer.verifier) == signed
    assert signed.checkpoint == Checkpoint(ORIGIN, 0, EMPTY_ROOT)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n",
        f"{ORIGIN}\n1\n",
        EXAMPLE.replace("20852163", "020852163"),
        EXAMPLE.replace("20852163", "-1"),
        EXAMPLE.replace("20852163", "1" * 21),
        EXAMPLE.replace("CsUY", "CsU!"),
        EXAMPLE.replace("CsUY", ""),
        EXAMPLE.replace("q2I=", "q2J="),
        EXAMPLE[EXAMPLE.index("\n") :],
        f"{EXAMPLE}\n",
        f"{EXAMPLE}\nafter an empty line\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(signer: Signer, text: str) -> None:
    with pytest.raises(MalformedNote):
        open_checkpoint(signer.sign(text).encode(), signer.verifier)


def test_a_checkpoint_under_another_name_than_its_signer_s_is_refused(signer: Signer) -> None:
    note = signer.sign(EXAMPLE.replace("sofa", "shelf"))
    with pytest.raises(ForeignCheckpoint, match="behind-the-shelf"):
        open_checkpoint(note.encode(), signer.verifier)


def test_a_wrong_key_and_a_truncated_note_are_refused(signer: Signer) -> None:
    note = sign_checkpoint(1, EMPTY_ROOT, signer).note.encode()
    with pytest.raises(UntrustedNote):
        open_checkpoint(note, Signer.generate(ORIGIN).verifier)
    for end in range(len(note)):
        with pytest.raises(EvidenceRefused):
            open_checkpoint(note[:end], signer.verifier)
