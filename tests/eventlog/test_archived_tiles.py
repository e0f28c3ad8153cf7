"""The tiles of archived events: all that is left of these, so every byte of them is held to it."""

import shutil
from pathlib import Path

import pytest

from eventlog.archived_tiles import ArchivedTiles
from eventlog.checkpoint import SignedCheckpoint
from eventlog.errors import HistoryChanged, TreeDamaged
from eventlog.merkle import HASH_SIZE, TreeHead, leaf_hash
from eventlog.notary import CHECKPOINT_NAME, Notary
from eventlog.prover import prove_consistency, prove_inclusion
from eventlog.tiles import TileDirectory, TilesLost, TileTree
from tests.eventlog.histories import (
    archive,
    first_of,
    rewritten,
    signer,
    verify,
    with_another,
    write,
)

EVENTS = 600
EARLY = 20


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SignedCheckpoint]:
    """A log of 600 events, and a checkpoint of the first 20 of them."""
    log = tmp_path_factory.mktemp("before") / "log"
    write(log, [f"early-{number}" for number in range(EARLY)])
    early = Notary(log, signer()).checkpoint()
    write(log, [f"later-{number}" for number in range(EVENTS - EARLY)])
    Notary(log, signer()).checkpoint()
    return log, early


@pytest.fixture
def log(before: tuple[Path, SignedCheckpoint], tmp_path: Path) -> Path:
    """The log, archived: 2 full tiles, and the beginning of a third."""
    copy = tmp_path / "log"
    shutil.copytree(before[0], copy)
    archive(copy, 570, tmp_path / "kept")
    write(copy, ["more"] * 3)
    Notary(copy, signer()).checkpoint()
    assert 512 < first_of(copy) <= 570
    return copy


@pytest.fixture
def early(before: tuple[Path, SignedCheckpoint]) -> SignedCheckpoint:
    return before[1]


def tile_files(log: Path) -> list[Path]:
    return sorted(path for path in (log / "tile").rglob("*") if path.is_file())


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_any_hash_of_any_tile_that_was_changed_is_named_as_a_tile(log: Path) -> None:
    verify(log, Notary(log, signer()).checkpoint())
    files = tile_files(log)
    assert {str(path.relative_to(log)) for path in files} >= {"tile/0/000", "tile/0/001"}
    for file in files:
        content = file.read_bytes()
        for at in range(0, len(content), HASH_SIZE * 7):
            flip(file, at)
            with pytest.raises(TreeDamaged) as caught:
                verify(log)
            assert log / caught.value.path in files
            file.write_bytes(content)
    verify(log)


@pytest.mark.parametrize(
    ("tile", "position"), [("tile/0/000", 2), ("tile/0/001", 300), ("tile/1/000.p/2", EVENTS)]
)
def test_nobody_is_told_to_remove_what_cannot_be_made_anew(
    log: Path, tmp_path: Path, tile: str, position: int
) -> None:
    signed = Notary(log, signer()).checkpoint()
    flip(log / tile, 3)
    for attempt in (
        lambda: verify(log),
        lambda: prove_inclusion(log, position, signed, tmp_path / "kept"),
    ):
        damaged = [path.read_bytes() for path in tile_files(log)]
        with pytest.raises(TilesLost, match="restore it from a copy") as caught:
            attempt()
        assert "remove" not in str(caught.value)
        assert [path.read_bytes() for path in tile_files(log)] == damaged


@pytest.mark.parametrize("hash_number", [0, -1])
def test_the_open_tile_is_named_although_no_tile_above_it_tells(
    log: Path, hash_number: int
) -> None:
    """Its first hash is that of an archived event, its last that of one that is here."""
    *narrower, widest = sorted((log / "tile/0/002.p").iterdir(), key=lambda path: int(path.name))
    for tile in narrower:
        tile.unlink()
    flip(widest, hash_number * HASH_SIZE)
    with pytest.raises(TilesLost, match=str(widest.relative_to(log))):
        verify(log)


def test_a_tile_that_was_cut_short_is_named(log: Path) -> None:
    (log / "tile/0/000").write_bytes((log / "tile/0/000").read_bytes()[:-HASH_SIZE])
    with pytest.raises(TilesLost, match="tile/0/000 "):
        verify(log)


def test_without_tiles_no_checkpoint_is_signed_until_the_archive_is_put_back(
    log: Path, tmp_path: Path
) -> None:
    signed = Notary(log, signer()).checkpoint()
    shutil.rmtree(log / "tile")
    (log / CHECKPOINT_NAME).unlink()
    with pytest.raises(TilesLost, match="put the archived segments back"):
        Notary(log, signer()).checkpoint()
    for segment in (tmp_path / "kept").iterdir():
        shutil.copy2(segment, log)
    assert Notary(log, signer()).checkpoint() == signed


def test_nothing_is_signed_over_tiles_that_contradict_each_other(log: Path) -> None:
    (log / CHECKPOINT_NAME).unlink()
    flip(log / "tile/0/001", 0)
    with pytest.raises(TilesLost):
        Notary(log, signer()).checkpoint()
    assert not (log / CHECKPOINT_NAME).exists()


def test_a_tile_of_archived_events_that_is_lost_is_counted(
    log: Path, early: SignedCheckpoint
) -> None:
    (log / "tile/0/001").unlink()
    archived = ArchivedTiles(TileDirectory(log), first_of(log) - 1)
    tree = archived.tree(lambda tile: None)
    assert tree is not None
    assert archived.lost == 1
    assert archived.begins_with(early.checkpoint.head, tree.root)
    verify(log, early)


def forge(log: Path, to: Path) -> Path:
    """A log with another 7th event, and its beginning archived: sound in itself."""
    forged = rewritten(log, to, with_another("early-7"))
    archive(forged, 570)
    Notary(forged, signer()).checkpoint()
    verify(forged)
    return forged


def test_what_was_rewritten_before_it_was_archived_is_refused(
    before: tuple[Path, SignedCheckpoint], tmp_path: Path
) -> None:
    log, early = before
    forged = forge(log, tmp_path / "forged")
    with pytest.raises(HistoryChanged, match=f"the first {EARLY} events"):
        verify(forged, early)
    (forged / CHECKPOINT_NAME).write_text(early.note)
    with pytest.raises(HistoryChanged):
        Notary(forged, signer()).checkpoint()
    with pytest.raises(HistoryChanged):
        prove_consistency(forged, early, late_of(forged))


def late_of(forged: Path) -> SignedCheckpoint:
    (forged / CHECKPOINT_NAME).unlink()
    return Notary(forged, signer()).checkpoint()


@pytest.mark.parametrize("honest", [["0/000"], ["0/000", "1/000.p/2"]])
def test_honest_tiles_do_not_hide_that_the_archived_events_were_rewritten(
    before: tuple[Path, SignedCheckpoint], tmp_path: Path, honest: list[str]
) -> None:
    log, early = before
    forged = forge(log, tmp_path / "forged")
    for tile in honest:
        shutil.copy(log / "tile" / tile, forged / "tile" / tile)
    with pytest.raises(TilesLost):
        verify(forged, early)
    (forged / CHECKPOINT_NAME).write_text(early.note)
    if len(honest) == 1:
        with pytest.raises(TilesLost):
            Notary(forged, signer()).checkpoint()


def test_a_head_is_told_from_the_root_down_also_where_a_tile_between_is_lost(
    tmp_path: Path,
) -> None:
    size, few = 70_000, 100
    tiles, other = TileDirectory(tmp_path / "log"), TileTree(lambda tile: None)
    tree = TileTree(tiles.write)
    tree.extend([leaf_hash(b"%d" % number) for number in range(size)])
    for tile in tree.partial():
        tiles.write(tile)
    other.extend([leaf_hash(b"other %d" % number) for number in range(few)])
    (tmp_path / "log/tile/1/000").unlink()
    flipped = next(other.partial()).hashes + (tmp_path / "log/tile/0/000").read_bytes()[32 * few :]
    (tmp_path / "log/tile/0/000").write_bytes(flipped)
    archived = ArchivedTiles(tiles, size)
    assert archived.tree(lambda tile: None) is not None
    assert archived.lost == 1
    with pytest.raises(TilesLost, match=r"tile/1/000 .* it is missing"):
        archived.begins_with(TreeHead(few, other.root), tree.root)
