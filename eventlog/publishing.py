"""A log as any transparency log publishes itself: a directory that a web server could serve.

Tiles, entry bundles and checkpoint lie where c2sp.org/tlog-tiles wants them. The log itself keeps
no bundles, as its segments hold the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path

from eventlog.checkpoint import SignedCheckpoint
from eventlog.errors import HistoryChanged, PositionArchived
from eventlog.merkle import leaf_hash
from eventlog.notary import CHECKPOINT_NAME
from eventlog.offline import read_log
from eventlog.record import Record
from eventlog.storage import DiskStorage
from eventlog.tiles import WIDTH, TileDirectory, TileTree, tile_path
from eventlog.walk import oldest_position


def publish(directory: Path, signed: SignedCheckpoint, to: Path) -> Iterator[Record]:
    """Write what a checkpoint covers into another directory, yielding each event on the way.

    Everything is made from the events, so all of them must be here: raises PositionArchived, with
    nothing written. Raises HistoryChanged, before the checkpoint is written, where their root is
    not the one that was signed.
    """
    oldest = oldest_position(DiskStorage(directory))
    if oldest > 1:
        raise PositionArchived(0, oldest)
    return _published(directory, signed, to)


def _published(directory: Path, signed: SignedCheckpoint, to: Path) -> Iterator[Record]:
    size = signed.checkpoint.size
    tiles = TileDirectory(to)
    tree = TileTree(tiles.write)
    bundle: list[bytes] = []
    for event in _events(directory, size):
        yield event
        tree.extend([leaf_hash(event.raw)])
        bundle.append(event.raw)
        if len(bundle) == WIDTH or event.position == size:
            _write_bundle(to, (event.position - 1) // WIDTH, bundle)
            bundle = []
    for tile in tree.partial():
        tiles.write(tile)
    if tree.root != signed.checkpoint.root:
        raise HistoryChanged(size)
    (to / CHECKPOINT_NAME).write_text(signed.note)


def _events(directory: Path, size: int) -> Iterator[Record]:
    if size == 0:
        return
    for event in read_log(directory):
        yield event
        if event.position == size:
            return


def _write_bundle(to: Path, index: int, entries: list[bytes]) -> None:
    """One entry bundle: each entry behind its length in two bytes, big-endian."""
    path = to / tile_path("entries", index, len(entries))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries))
