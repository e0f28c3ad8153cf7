"""Proofs and verification on real directories: what was changed, by anyone, is refused."""

import base64
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from eventlog import (
    CorruptLog,
    EventLogError,
    Record,
    verify_log,
)
from eventlog.checkpoint import open_checkpoint, sign_checkpoint
from eventlog.errors import (
    CheckpointAhead,
    EvidenceRefused,
    ForeignCheckpoint,
    HistoryChanged,
    PositionArchived,
    PositionInFuture,
    ProofRefused,
    TreeDamaged,
    UntrustedNote,
)
from eventlog.merkle import EMPTY_ROOT
from eventlog.notary import CHECKPOINT_NAME, Notary, read_checkpoint, rebuild_tiles
from eventlog.note import Signer
from eventlog.offline import read_log, verify_storage
from eventlog.proofs import Consistent, Included, check_proof, encode_proof
from eventlog.prover import prove_consistency, prove_inclusion
from eventlog.salvage import Stretch, salvage
from eventlog.segment import (
    FOOTER_SIZE,
    HEADER_SIZE,
    decode_footer,
    encode_footer,
    first_position,
)
from tests.eventlog.histories import (
    ORIGIN,
    archive,
    as_before,
    first_of,
    rewritten,
    signer,
    verify,
    with_another,
    write,
)
from tests.eventlog.memory_storage import MemoryStorage
from tests.eventlog.samples import write_life

FEW, MANY = 5, 300


@pytest.fixture
def log(tmp_path: Path) -> Path:
    directory = tmp_path / "log"
    write(directory, [f"first-{number}" for number in range(FEW)])
    return directory


def test_a_checkpoint_covers_what_is_acknowledged_and_goes_on(log: Path) -> None:
    notary = Notary(log, signer())
    one = notary.checkpoint()
    assert one.checkpoint.size == FEW
    assert notary.checkpoint() == one
    write(log, ["more"] * MANY)
    two = notary.checkpoint()
    assert two.checkpoint.size == FEW + MANY
    assert read_checkpoint(log, signer().verifier) == two
    assert verify(log, one, two) == FEW + MANY


def test_another_life_of_the_notary_goes_on_from_the_tiles(log: Path) -> None:
    write(log, ["more"] * MANY)
    Notary(log, signer()).checkpoint()
    write(log, ["more"] * MANY)
    early = Notary(log, signer()).checkpoint()
    shutil.rmtree(log / "tile")
    (log / CHECKPOINT_NAME).unlink()
    assert Notary(log, signer()).checkpoint() == early


def test_an_empty_log_has_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "log", [])
    signed = Notary(tmp_path / "log", signer()).checkpoint()
    assert (signed.checkpoint.size, signed.checkpoint.root) == (0, EMPTY_ROOT)


def test_footers_name_the_root_of_the_tree(log: Path) -> None:
    write(log, ["more"] * MANY)
    segments = list(verify_log(log))
    assert len(segments) > 10
    assert segments[-1].root == Notary(log, signer()).checkpoint().checkpoint.root


def test_every_event_can_be_proved_to_every_later_checkpoint(log: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, [f"more-{number}" for number in range(MANY)])
    late = Notary(log, signer()).checkpoint()
    records = {record.position: record for record in read_log(log)}
    for position in (1, 2, FEW, FEW + 1, 256, 257, FEW + MANY):
        for signed in (early, late):
            if position > signed.checkpoint.size:
                continue
            proof = encode_proof(prove_inclusion(log, position, signed))
            shown = check_proof(proof, signer().verifier)
            assert shown == Included(records[position], signed.checkpoint)


def test_a_later_checkpoint_is_proved_to_continue_an_earlier_one(log: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["more"] * MANY)
    late = Notary(log, signer()).checkpoint()
    for old in (early, late, sign_checkpoint(0, EMPTY_ROOT, signer())):
        proof = encode_proof(prove_consistency(log, old, late))
        shown = check_proof(proof, signer().verifier)
        assert shown == Consistent(old.checkpoint, late.checkpoint)
    with pytest.raises(CheckpointAhead):
        prove_consistency(log, late, early)


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_damaged_tiles_are_made_anew_before_anything_is_proved(log: Path, damage: str) -> None:
    write(log, ["more"] * MANY)
    early = Notary(log, signer()).checkpoint()
    for tile in [path for path in (log / "tile").rglob("*") if path.is_file()]:
        if damage == "removed":
            tile.unlink()
        else:
            tile.write_bytes(bytes(len(tile.read_bytes())))
    if damage == "changed":
        with pytest.raises(TreeDamaged, match="tile/0/000 does not match"):
            verify(log)
    prove_consistency(log, sign_checkpoint(0, EMPTY_ROOT, signer()), early)
    check_proof(encode_proof(prove_inclusion(log, 9, early)), signer().verifier)
    assert verify(log, early) == FEW + MANY


def test_a_notary_rebuilds_tiles_that_do_not_fit_its_checkpoint(log: Path) -> None:
    Notary(log, signer()).checkpoint()
    for tile in [path for path in (log / "tile").rglob("*") if path.is_file()]:
        tile.write_bytes(bytes(len(tile.read_bytes())))
    write(log, ["more"])
    late = Notary(log, signer()).checkpoint()
    assert verify(log, late) == FEW + 1


def test_no_byte_of_a_proof_can_be_changed(log: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["more"] * 3)
    late = Notary(log, signer()).checkpoint()
    for proof in (prove_inclusion(log, 2, late), prove_consistency(log, early, late)):
        data = encode_proof(proof)
        for at in range(len(data)):
            for change in (1, 0x20, 0x80):
                damaged = bytearray(data)
                damaged[at] ^= change
                with pytest.raises(EvidenceRefused):
                    check_proof(bytes(damaged), signer().verifier)
            with pytest.raises(EvidenceRefused):
                check_proof(data[:at], signer().verifier)


def test_a_proof_that_was_made_up_is_refused(log: Path) -> None:
    signed = Notary(log, signer()).checkpoint()
    proof = prove_inclusion(log, 2, signed)
    other = prove_inclusion(log, 3, signed)
    longer = msgspec.structs.replace(proof, path=proof.path * 40)
    for made_up in (
        msgspec.structs.replace(proof, position=3),
        msgspec.structs.replace(proof, record=other.record),
        msgspec.structs.replace(proof, event=other.event),
        msgspec.structs.replace(other, path=proof.path),
        msgspec.structs.replace(proof, event=b"no event"),
        longer,
    ):
        with pytest.raises(ProofRefused):
            check_proof(encode_proof(made_up), signer().verifier)
    with pytest.raises(UntrustedNote):
        check_proof(encode_proof(proof), Signer.generate(ORIGIN).verifier)
    formatted = json.dumps(json.loads(encode_proof(proof))).encode()
    with pytest.raises(ProofRefused, match="formatted anew"):
        check_proof(formatted, signer().verifier)
    with pytest.raises(ProofRefused, match="more than"):
        check_proof(bytes(2_000_000), signer().verifier)


def test_an_event_that_the_checkpoint_does_not_cover_cannot_be_proved(log: Path) -> None:
    signed = Notary(log, signer()).checkpoint()
    write(log, ["more"])
    for position in (0, FEW + 1):
        with pytest.raises(PositionInFuture):
            prove_inclusion(log, position, signed)


def test_a_log_that_was_rewritten_with_the_same_key_is_refused(log: Path, tmp_path: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["more"] * 10)
    forged = rewritten(log, tmp_path / "forged", with_another("first-2"))
    late = Notary(forged, signer()).checkpoint()

    assert verify(forged, late) == FEW + 10, "nothing in it contradicts itself"
    with pytest.raises(HistoryChanged, match="the first 5 events"):
        verify(forged, early)
    with pytest.raises(HistoryChanged):
        prove_consistency(forged, early, late)
    with pytest.raises(HistoryChanged):
        prove_inclusion(forged, 1, early)


def test_what_was_rewritten_after_a_checkpoint_is_refused_by_a_later_one(
    log: Path, tmp_path: Path
) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["later"])
    late = Notary(log, signer()).checkpoint()
    write(log, ["more"])
    honest = rewritten(log, tmp_path / "honest", as_before)
    forged = rewritten(log, tmp_path / "forged", with_another("later"))
    # Another epoch is another event, so a copy with other lives is another history, too.
    with pytest.raises(HistoryChanged):
        verify(honest, late)
    assert verify(forged, early) == FEW + 2
    with pytest.raises(HistoryChanged):
        verify(forged, late)


def test_a_notary_does_not_sign_what_contradicts_its_last_checkpoint(
    log: Path, tmp_path: Path
) -> None:
    Notary(log, signer()).checkpoint()
    forged = rewritten(log, tmp_path / "forged", with_another("first-2"))
    shutil.copy(log / CHECKPOINT_NAME, forged)
    with pytest.raises(HistoryChanged):
        Notary(forged, signer()).checkpoint()
    shorter = tmp_path / "shorter"
    write(shorter, ["first-0"])
    shutil.copy(log / CHECKPOINT_NAME, shorter)
    with pytest.raises(CheckpointAhead, match="events 2 to 5 are missing"):
        Notary(shorter, signer()).checkpoint()


def test_a_checkpoint_of_the_future_of_another_log_or_key_is_refused(log: Path) -> None:
    future = sign_checkpoint(99, EMPTY_ROOT, signer())
    with pytest.raises(CheckpointAhead, match="events 6 to 99 are missing"):
        verify(log, future)
    with pytest.raises(CheckpointAhead):
        prove_inclusion(log, 1, future)
    foreign = sign_checkpoint(1, EMPTY_ROOT, signer("example.com/other")).note.encode()
    with pytest.raises(UntrustedNote):
        open_checkpoint(foreign, signer().verifier)
    renamed = signer().sign(f"example.com/other\n1\n{base64.b64encode(bytes(32)).decode()}\n")
    with pytest.raises(ForeignCheckpoint):
        open_checkpoint(renamed.encode(), signer().verifier)


@pytest.mark.parametrize("content", [b"", b"\x00" * 200, b"no note\n"])
def test_a_checkpoint_file_that_a_power_cut_spoilt_is_made_anew(log: Path, content: bytes) -> None:
    before = Notary(log, signer()).checkpoint()
    (log / CHECKPOINT_NAME).write_bytes(content)
    assert Notary(log, signer()).checkpoint() == before


def test_proofs_go_on_when_segments_are_archived(log: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["more"] * MANY)
    middle = Notary(log, signer()).checkpoint()
    kept = encode_proof(prove_inclusion(log, 2, middle))
    for below in (100, 250):
        archive(log, below)
        assert 1 < first_of(log) <= below
        late = Notary(log, signer()).checkpoint()
        assert late.checkpoint.size == verify(log, early, middle, late)
        check_proof(encode_proof(prove_consistency(log, early, late)), signer().verifier)
        check_proof(encode_proof(prove_inclusion(log, 300, middle)), signer().verifier)
        check_proof(kept, signer().verifier)
    for position in (1, 2, first_of(log) - 1):
        with pytest.raises(PositionArchived, match="were archived"):
            prove_inclusion(log, position, middle)
    assert list(verify_log(log))[-1].root == late.checkpoint.root
    (log / CHECKPOINT_NAME).unlink()
    assert Notary(log, signer()).checkpoint() == late


def test_footers_of_an_archived_log_name_the_root_of_the_whole_tree(log: Path) -> None:
    write(log, ["more"] * MANY)
    archive(log, 100)
    write(log, ["even more"])
    write(log, ["and more"])
    sealed = sorted(log.glob("*.log"))[-2]
    footer = decode_footer(sealed.read_bytes()[-FOOTER_SIZE:])
    assert footer is not None
    assert footer.tree_size == footer.last
    assert verify(log) == footer.last + 1


def test_a_notary_whose_last_checkpoint_lies_in_the_archive_goes_on(log: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["more"] * MANY)
    archive(log, 100)
    late = Notary(log, signer()).checkpoint()
    check_proof(encode_proof(prove_consistency(log, early, late)), signer().verifier)
    assert verify(log, early, late) == late.checkpoint.size


def test_without_the_tiles_of_archived_events_there_is_no_tree_and_no_proof(log: Path) -> None:
    early = Notary(log, signer()).checkpoint()
    write(log, ["more"] * MANY)
    archive(log, 100)
    shutil.rmtree(log / "tile")
    assert list(verify_log(log))[-1].root == b""
    for attempt in (lambda: verify(log, early), lambda: Notary(log, signer()).checkpoint()):
        with pytest.raises(TreeDamaged, match="archived"):
            attempt()


def test_a_footer_with_another_root_is_refused(
    sealed: tuple[dict[str, bytes], list[Record]],
) -> None:
    """Somebody who may write the file makes its checksums fit, too."""
    files, _ = sealed
    name = min(name for name in files if name.endswith(".log"))
    footer = decode_footer(files[name][-FOOTER_SIZE:])
    assert footer is not None
    wrong = msgspec.structs.replace(footer, tree_root=bytes(32))
    forged = files[name][:-FOOTER_SIZE] + encode_footer(wrong)
    with pytest.raises(CorruptLog, match="root") as caught:
        list(verify_storage(MemoryStorage({**files, name: forged}), looks=1))
    assert caught.value.path == name


def test_nothing_is_signed_that_is_not_acknowledged(log: Path) -> None:
    (log / "tip").unlink()
    assert Notary(log, signer()).checkpoint().checkpoint.size == 4, "the last may be in flight"


def test_tiles_can_be_rebuilt_without_a_key(log: Path) -> None:
    signed = Notary(log, signer()).checkpoint()
    shutil.rmtree(log / "tile")
    assert rebuild_tiles(log, FEW).root == signed.checkpoint.root


@pytest.fixture(scope="module")
def sealed() -> tuple[dict[str, bytes], list[Record]]:
    """Three lives: two sealed segments and an open one; frames with one and with many events."""
    storage = MemoryStorage()
    written = write_life(storage, [[b"\x80"], [bytes(600), b"\x81"], [b"\x82" * 30]])
    written += write_life(storage, [[b"\x82"] * 3, [b"x" * 70], [b"\x83"]])
    written += write_life(storage, [[b"\x84"]])
    return storage.snapshot(), written


def test_any_byte_of_a_sealed_segment_that_is_changed_is_named(
    sealed: tuple[dict[str, bytes], list[Record]],
) -> None:
    files, written = sealed
    names = sorted(name for name in files if name.endswith(".log"))[:-1]
    assert len(names) == 2
    for name in names:
        for at in range(len(files[name])):
            storage = damaged(files, name, at)
            with pytest.raises(CorruptLog) as caught:
                list(verify_storage(storage, looks=1))
            assert caught.value.path == name
            assert 1 <= caught.value.position <= len(written)
            check_salvaged(storage, written)


@pytest.mark.parametrize("others", ["segments", "tip"])
def test_a_damaged_header_of_the_first_segment_costs_no_event(
    sealed: tuple[dict[str, bytes], list[Record]], others: str
) -> None:
    """What the first frame continues follows from the log's id, which others know, too."""
    files, written = sealed
    first, second, third = sorted(name for name in files if name.endswith(".log"))
    gone = ["tip"] if others == "segments" else [second, third]
    left = written if others == "segments" else written[: first_position(second) - 1]
    files = {name: data for name, data in files.items() if name not in gone}
    for at in range(HEADER_SIZE):
        found = list(salvage(damaged(files, first, at)))
        assert [r for item in found if isinstance(item, Stretch) for r in item.records] == left


def damaged(files: dict[str, bytes], name: str, at: int) -> MemoryStorage:
    data = bytearray(files[name])
    data[at] ^= 1 << at % 8
    return MemoryStorage({**files, name: bytes(data)})


def check_salvaged(storage: MemoryStorage, written: list[Record]) -> None:
    """All is readable but the frame that was hit, and the damage is told once."""
    found = list(salvage(storage))
    read = [record for item in found if isinstance(item, Stretch) for record in item.records]
    told = [item for item in found if isinstance(item, EventLogError)]
    assert len(told) == 1
    lost = [record.position for record in written if record not in read]
    assert [record for record in written if record.position not in lost] == read
    assert lost == list(range(lost[0], lost[0] + len(lost))) if lost else True
    assert len(lost) <= 3


def test_several_damages_are_each_told_and_the_rest_is_read(
    sealed: tuple[dict[str, bytes], list[Record]],
) -> None:
    files, written = sealed
    first, second, _ = sorted(name for name in files if name.endswith(".log"))
    one = damaged(files, first, 520).snapshot()
    two = damaged(one, first, len(files[first]) - 200).snapshot()
    three = damaged(two, second, 100)
    found = list(salvage(three))
    told = [item.position for item in found if isinstance(item, CorruptLog)]
    read = [r.position for item in found if isinstance(item, Stretch) for r in item.records]
    assert told == [1, 4, 5]
    assert read == [2, 3, 8, 9, 10]
    assert len(written) == 10


def test_a_sound_log_is_salvaged_whole(sealed: tuple[dict[str, bytes], list[Record]]) -> None:
    files, written = sealed
    found = list(salvage(MemoryStorage(files)))
    assert [r for item in found if isinstance(item, Stretch) for r in item.records] == written


def test_a_missing_segment_is_told_and_the_rest_is_read(
    sealed: tuple[dict[str, bytes], list[Record]],
) -> None:
    files, _ = sealed
    _, second, _ = sorted(name for name in files if name.endswith(".log"))
    found = list(salvage(MemoryStorage({n: d for n, d in files.items() if n != second})))
    (told,) = [item for item in found if isinstance(item, EventLogError)]
    read = [r.position for item in found if isinstance(item, Stretch) for r in item.records]
    assert "does not continue" in str(told)
    assert read == [1, 2, 3, 4, 10]
