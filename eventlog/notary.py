"""Growing a log's hash tree on the disk, and signing it: the directory `tile`, and `checkpoint`.

It reads the log as any reader does, beside its writer or without one, and signs nothing beyond the
last acknowledged event. An append never waits for it.
"""

import logging
import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from eventlog.archived_tiles import ArchivedTiles, begin_tiles
from eventlog.audit import read_tip
from eventlog.checkpoint import SignedCheckpoint, open_checkpoint, sign_checkpoint
from eventlog.errors import (
    CheckpointAhead,
    ForeignCheckpoint,
    HistoryChanged,
    MalformedNote,
    UntrustedNote,
)
from eventlog.leaves import leaves_of
from eventlog.note import NOTE_LIMIT, Signer, Verifier
from eventlog.offline import LOOKS
from eventlog.regular_file import NotRegular, read_regular
from eventlog.segment import first_position
from eventlog.storage import DiskStorage, Storage
from eventlog.tiles import TileDirectory, TileTree
from eventlog.walk import oldest_position, segment_names, walk_log

logger = logging.getLogger(__name__)

CHECKPOINT_NAME = "checkpoint"


class Notary:
    """Signs checkpoints of the log in one directory, each consistent with those before.

    Its methods block, and may be called from any thread.
    """

    def __init__(self, directory: Path, signer: Signer) -> None:
        self._directory = directory
        self._storage = DiskStorage(directory)
        self._tiles = TileDirectory(directory)
        self._signer = signer
        self._lock = threading.Lock()
        self._tree: TileTree | None = None
        self._latest: SignedCheckpoint | None = None

    @property
    def verifier(self) -> Verifier:
        """The public key."""
        return self._signer.verifier

    def checkpoint(self) -> SignedCheckpoint:
        """Sign what is acknowledged by now, or return the last checkpoint if nothing was added.

        Raises CheckpointAhead or HistoryChanged where the log contradicts its last checkpoint,
        OSError, and what reading a log raises.
        """
        with self._lock:
            tree = self._tree or self._resume()
            self._tree = None  # until it is known to be whole again
            head = acknowledged(self._storage)
            if self._latest is None or head > self._latest.checkpoint.size:
                grow(tree, self._storage, head)
                self._latest = self._sign(tree)
            self._tree = tree
            return self._latest

    def _sign(self, tree: TileTree) -> SignedCheckpoint:
        for tile in tree.partial():
            self._tiles.write(tile)
        signed = sign_checkpoint(tree.size, tree.root, self._signer)
        path = self._directory / CHECKPOINT_NAME
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(signed.note.encode())
        draft.rename(path)
        return signed

    def _last_signed(self) -> SignedCheckpoint | None:
        try:
            return read_checkpoint(self._directory, self.verifier)
        except (UntrustedNote, ForeignCheckpoint, NotRegular) as error:
            kept = set_aside(self._directory / CHECKPOINT_NAME)
            logger.warning("%s: %s; it is kept as %s", CHECKPOINT_NAME, error, kept)
            return None

    def _resume(self) -> TileTree:
        """The tree at the last checkpoint, from its tiles, or from the log where they are unfit."""
        self._latest = self._last_signed()
        if self._latest is None:
            return begin_tiles(self._directory)
        signed = self._latest.checkpoint
        head = acknowledged(self._storage)
        if signed.size > head:
            raise CheckpointAhead(signed.size, head)
        before = oldest_position(self._storage) - 1
        if before > signed.size:
            begun = begin_tiles(self._directory)
            if not ArchivedTiles(self._tiles, before).begins_with(signed.head, begun.root):
                raise HistoryChanged(signed.size)
            return begun
        edge = self._tiles.edge(signed.size)
        if edge is not None and (tree := TileTree(self._tiles.write, edge)).root == signed.root:
            return tree
        tree = rebuild_tiles(self._directory, signed.size)
        if tree.root != signed.root:
            raise HistoryChanged(signed.size)
        return tree


def read_checkpoint(directory: Path, verifier: Verifier) -> SignedCheckpoint | None:
    """The log's last checkpoint; None where there is none, or only half of one.

    The file is never synced, so after a power cut it may hold anything. Raises UntrustedNote,
    ForeignCheckpoint or NotRegular for what a power cut does not leave.
    """
    try:
        return open_checkpoint(read_regular(directory / CHECKPOINT_NAME, NOTE_LIMIT + 1), verifier)
    except (FileNotFoundError, MalformedNote):
        return None


def set_aside(file: Path) -> str:
    """Give a file that may be evidence another name, and return it."""
    taken = {entry.name for entry in file.parent.iterdir()}
    name = next(kept for n in count(1) if (kept := f"{file.name}.refused-{n}") not in taken)
    file.rename(file.with_name(name))
    return name


def rebuild_tiles(directory: Path, size: int) -> TileTree:
    """Derive every tile of the first `size` events from the log again, as far as it has them.

    Raises TilesLost where the tiles of archived events are missing or unfit.
    """
    tiles, tree = TileDirectory(directory), begin_tiles(directory)
    grow(tree, DiskStorage(directory), size)
    for tile in tree.partial():
        tiles.write(tile)
    return tree


def acknowledged(storage: Storage) -> int:
    """The last event that is known to be durable.

    The tip says so; without one, all but the last commit, as no more than one is in flight.
    """
    tip = read_tip(storage)
    if tip is not None:
        return tip.position
    last = 0
    for walk in walk_log(storage, _before_last_segment(storage), LOOKS):
        last = walk.header.first - 1
        for sound in walk:
            last = sound.header.first - 1
    return last


def _before_last_segment(storage: Storage) -> int:
    names = segment_names(storage)
    return first_position(names[-1]) - 1 if names else 0


def grow(tree: TileTree, storage: Storage, upto: int) -> None:
    """Add the events from the tree's end up to a position. Raises what reading a log raises."""
    for leaves in _leaves(storage, tree.size, upto):
        tree.extend(leaves)


def _leaves(storage: Storage, after: int, upto: int) -> Iterator[list[bytes]]:
    if after >= upto:
        return
    for walk in walk_log(storage, after, LOOKS):
        walk.skip(after)
        for sound in walk:
            before = sound.header.first - 1
            yield leaves_of(sound.body)[max(0, after - before) : upto - before]
            if sound.header.last >= upto:
                return
