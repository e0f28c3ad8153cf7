"""Signed notes against the examples of those who made the format, and against every flip."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.errors import (
    EvidenceRefused,
    MalformedKey,
    MalformedNote,
    UnknownSigner,
    UntrustedNote,
)
from eventlog.note import Signer, open_note, parse_signer, parse_verifier

# The key pair, text and note of Go's package golang.org/x/mod/sumdb/note, in its tests.
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngot"
    "pRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox"
    "33WWd1RvMc+QQ=\n"
)
NOTE = f"{TEXT}\n{PETER_LINE}"


def test_a_known_key_and_text_give_the_known_note() -> None:
    signer = parse_signer(PETER_SECRET)
    assert str(signer.verifier) == PETER
    assert signer.verifier.key_id.hex() == "c74f20a3"
    assert signer.sign(TEXT) == NOTE
    assert signer.secret() == PETER_SECRET


def test_a_note_opens_with_the_key_of_any_of_its_signers() -> None:
    both = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()
    assert open_note(both, parse_verifier(PETER)) == TEXT
    assert open_note(both, parse_verifier(ENOCH)) == TEXT
    assert open_note(f"{TEXT}\n{ENOCH_LINE}{PETER_LINE}".encode(), parse_verifier(PETER)) == TEXT


def test_sixteen_witnesses_fit() -> None:
    witnesses = "".join(
        f"— witness{number}.example {base64.b64encode(bytes(5000)).decode()}\n"
        for number in range(16)
    )
    assert open_note(f"{NOTE}{witnesses}".encode(), parse_verifier(PETER)) == TEXT


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_no_byte_of_a_note_can_be_changed(at: int, change: int) -> None:
    damaged = bytearray(NOTE.encode())
    damaged[at] ^= change
    with pytest.raises(EvidenceRefused):
        open_note(bytes(damaged), parse_verifier(PETER))


def test_no_bit_of_a_note_can_be_flipped_and_no_end_cut_off() -> None:
    note, peter = NOTE.encode(), parse_verifier(PETER)
    for at in range(len(note)):
        for bit in range(8):
            damaged = bytearray(note)
            damaged[at] ^= 1 << bit
            with pytest.raises(EvidenceRefused):
                open_note(bytes(damaged), peter)
        with pytest.raises(EvidenceRefused):
            open_note(note[:at], peter)


def test_no_byte_of_a_key_can_be_changed_or_left_out() -> None:
    for text, parse in ((PETER, parse_verifier), (PETER_SECRET, parse_signer)):
        for at in range(len(text)):
            for change in range(1, 128):
                damaged = text[:at] + chr(ord(text[at]) ^ change) + text[at + 1 :]
                with pytest.raises(MalformedKey):
                    parse(damaged)
            with pytest.raises(MalformedKey):
                parse(text[:at] + text[at + 1 :])


@pytest.mark.parametrize(
    "key",
    [
        "",
        "PeterNeumann",
        PETER + "\n",
        # A key that is too long, and one of another algorithm, each with the id that fits.
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(MalformedKey):
        parse_verifier(key)


def test_a_private_key_is_never_shown() -> None:
    damaged = PETER_SECRET[:-1] + "A"
    with pytest.raises(MalformedKey) as caught:
        parse_signer(damaged)
    assert "AYEKFALV" not in str(caught.value)
    assert "AYEKFALV" not in repr(parse_signer(PETER_SECRET))


@pytest.mark.parametrize(
    "note",
    [
        b"",
        TEXT.encode(),
        f"{TEXT}\n".encode(),
        NOTE[:-1].encode(),
        b"\x01" + NOTE.encode(),
        b"\xff" + NOTE.encode(),
        NOTE.replace("\n", "\r\n").encode(),
        f"{NOTE}Unexpected line.\n".encode(),
        f"{TEXT}\n— Bad Name {PETER_LINE.split()[-1]}\n".encode(),
        f"{TEXT}\n— PeterNeumann x08g\n".encode(),
        f"{TEXT}\n— PeterNeumann {PETER_LINE.split()[-1]}".encode(),
        NOTE.encode() + b"x" * 200_000,
    ],
)
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(MalformedNote):
        open_note(note, parse_verifier(PETER))


def test_another_key_of_the_same_name_does_not_open_a_note() -> None:
    stranger = Signer.generate("PeterNeumann").verifier
    with pytest.raises(UnknownSigner, match="signed by PeterNeumann, and not by"):
        open_note(NOTE.encode(), stranger)


def test_a_wrong_signature_beside_a_right_one_spoils_the_note() -> None:
    wrong = parse_signer(PETER_SECRET).sign("other\n").splitlines(keepends=True)[-1]
    with pytest.raises(UntrustedNote, match="does not match"):
        open_note(f"{NOTE}{wrong}".encode(), parse_verifier(PETER))


@pytest.mark.parametrize("text", ["no newline", "a tab\t\n", ""])
def test_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedNote):
        parse_signer(PETER_SECRET).sign(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\x01"])
def test_a_name_that_no_note_can_hold_gets_no_key(name: str) -> None:
    with pytest.raises(MalformedKey):
        Signer.generate(name)
