"""Holding a log's hash tree against everything that was ever said of it.

That is the roots in segment footers, the tiles on the disk, and checkpoints: the root is computed
again from the events, so nothing that somebody wrote beside them is believed.
"""

from collections.abc import Sequence
from pathlib import Path

from eventlog.errors import CheckpointAhead, CorruptLog, HistoryChanged, TreeDamaged
from eventlog.leaves import leaves_of
from eventlog.merkle import TreeHead, subtree_root
from eventlog.segment import Footer, SegmentHeader
from eventlog.tiles import TILES_NAME, WIDTH, Tile, TileDirectory, TileNodes, TileTree


class TreeAudit:
    """Takes the log's frames from the front, and raises at the first contradiction.

    Where the events before the first frame were archived and their tiles are gone too, there is no
    tree: `root` is empty then, and heads cannot be checked.
    """

    def __init__(self, tiles: TileDirectory | None = None, heads: Sequence[TreeHead] = ()) -> None:
        self.tiles_checked = 0
        self.tiles_missing = 0
        self._tiles = tiles
        self._due = sorted(heads, key=lambda head: head.size, reverse=True)
        self._tree: TileTree | None = TileTree(self._check_tile)

    @property
    def root(self) -> bytes:
        """The root over everything so far."""
        return self._tree.root if self._tree else b""

    def begin(self, header: SegmentHeader) -> None:
        """Begin with a log's first segment, on tiles where the events before it were archived."""
        before = header.first - 1
        if before > 0:
            edge = self._tiles.edge(before) if self._tiles else None
            self._tree = None if edge is None else TileTree(self._check_tile, edge)
            self._check_archived(before)

    def add(self, body: bytes) -> None:
        """Take the events of the next frame. Raises HistoryChanged or TreeDamaged."""
        if self._tree is None:
            return
        leaves = leaves_of(body)
        while self._due and self._due[-1].size <= self._tree.size + len(leaves):
            upto = self._due[-1].size - self._tree.size
            self._tree.extend(leaves[:upto])
            leaves = leaves[upto:]
            self._check(self._due.pop(), self._tree)
        self._tree.extend(leaves)

    def check_footer(self, name: str, footer: Footer) -> None:
        """Hold a sealed segment's footer against its events. Raises CorruptLog."""
        if self._tree is None or footer.tree_size == 0:
            return
        if (footer.tree_size, footer.tree_root) != (self._tree.size, self._tree.root):
            raise CorruptLog(
                footer.first, footer.offset, name, "its events are not those of its tree's root"
            )

    def conclude(self) -> None:
        """After the last frame. Raises CheckpointAhead for a head that the log does not reach."""
        if self._tree is None and self._due:
            raise TreeDamaged(TILES_NAME, "the tiles of events that were archived are missing")
        if self._tree is not None and self._due:
            raise CheckpointAhead(self._due[0].size, self._tree.size)

    def _check(self, head: TreeHead, tree: TileTree) -> None:
        if head.root != tree.root:
            raise HistoryChanged(head.size)
        for tile in tree.partial():
            self._check_tile(tile)

    def _check_archived(self, before: int) -> None:
        if self._tree is None or self._tiles is None:
            return
        nodes = TileNodes(self._tiles, before)
        while self._due and self._due[-1].size <= before:
            head = self._due.pop()
            if subtree_root(0, head.size, nodes) != head.root:
                raise HistoryChanged(head.size)

    def _check_tile(self, tile: Tile) -> None:
        if self._tiles is None:
            return
        found = self._tiles.exact(tile)
        if found is None and tile.width < WIDTH:  # a partial one goes when it is full
            found = self._tiles.read(tile.level, tile.index, tile.width)
        if found is None:
            self.tiles_missing += 1
        elif found == tile.hashes:
            self.tiles_checked += 1
        else:
            raise TreeDamaged(tile.path, "its hashes are not those of the events")


def tree_audit(directory: Path, heads: Sequence[TreeHead] = ()) -> TreeAudit:
    """An audit of the log in a directory: with its tiles, and heads that somebody vouched for."""
    return TreeAudit(TileDirectory(directory), heads)
