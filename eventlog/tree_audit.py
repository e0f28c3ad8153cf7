"""Holding a log's hash tree against everything that was ever said of it.

That is the roots in segment footers, the tiles on the disk, and checkpoints: the root is computed
again from the events, so nothing that somebody wrote beside them is believed. Of archived events
only the tiles are left: they are held against each other and against all later roots.
"""

from collections.abc import Sequence
from pathlib import Path

from eventlog.archived_tiles import ArchivedTiles
from eventlog.errors import (
    CheckpointAhead,
    CorruptLog,
    EventLogError,
    HistoryChanged,
    TreeDamaged,
)
from eventlog.leaves import leaves_of
from eventlog.merkle import TreeHead
from eventlog.segment import Footer, SegmentHeader
from eventlog.tiles import TILES_NAME, WIDTH, Tile, TileDirectory, TileFile, TilesLost, TileTree


class TreeAudit:
    """Takes the log's frames from the front, and raises at the first contradiction.

    Where the events before the first frame were archived and their tiles are gone too, there is no
    tree: `root` is empty then, and heads cannot be checked.
    """

    def __init__(self, tiles: TileDirectory | None = None, heads: Sequence[TreeHead] = ()) -> None:
        self.tiles_missing = 0
        self.tiles_lost = 0
        self._checked: set[str] = set()
        self._tiles = tiles
        self._due = sorted(heads, key=lambda head: head.size, reverse=True)
        self._tree: TileTree | None = TileTree(self._check_tile)
        self._archived = 0
        self._unproven: Tile | None = None

    @property
    def root(self) -> bytes:
        """The root over everything so far."""
        return self._tree.root if self._tree else b""

    @property
    def tiles_checked(self) -> int:
        """The number of files with tiles that were found right."""
        return len(self._checked)

    def begin(self, header: SegmentHeader) -> None:
        """Begin with a log's first segment, on tiles where the events before it were archived.

        Raises TilesLost where these contradict each other, HistoryChanged.
        """
        self._archived = header.first - 1
        if self._archived > 0:
            self._tree = self._archived_tree(self._tiles) if self._tiles else None

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
        """Hold a sealed segment's footer against its events. Raises CorruptLog or TilesLost."""
        if self._tree is None or footer.tree_size == 0:
            return
        head = TreeHead(footer.tree_size, footer.tree_root)
        why = "its events are not those of its tree's root"
        self._check_root(head, self._tree, CorruptLog(footer.first, footer.offset, name, why))

    def conclude(self) -> None:
        """After the last frame. Raises CheckpointAhead for a head that the log does not reach."""
        if self._tree is None:
            if self._due:
                raise TilesLost(TILES_NAME, "the tiles of events that were archived are missing")
            return
        if self._due:
            raise CheckpointAhead(self._due[0].size, self._tree.size)
        for tile in self._tree.partial():
            self._compare(tile)

    def _archived_tree(self, tiles: TileDirectory) -> TileTree | None:
        archived = ArchivedTiles(tiles, self._archived)
        tree = archived.tree(self._check_tile)
        if tree is None:
            return None
        while self._due and self._due[-1].size <= tree.size:
            head = self._due.pop()
            if not archived.begins_with(head, tree.root):
                raise HistoryChanged(head.size)
        self._checked |= archived.sound
        self.tiles_lost = archived.lost
        self._unproven = next(tree.partial(), None)
        return tree

    def _check(self, head: TreeHead, tree: TileTree) -> None:
        self._check_root(head, tree, HistoryChanged(head.size))
        for tile in tree.partial():
            self._check_tile(tile)

    def _check_root(self, head: TreeHead, tree: TileTree, otherwise: EventLogError) -> None:
        """The first root that fits bears out the open tiles that an archived tree goes on from."""
        fits = head == TreeHead(tree.size, tree.root)
        if not fits and self._unproven is not None:
            *_, file = self._files(self._unproven)
            raise TilesLost(file.path, "what it leads to is not the root of the events after it")
        if not fits:
            raise otherwise
        self._unproven = None

    def _check_tile(self, tile: Tile) -> None:
        if not self._compare(tile):
            self.tiles_missing += 1

    def _compare(self, tile: Tile) -> bool:
        """Hold a tile against every file of it; false where none of them has all of its hashes."""
        files = self._files(tile)
        for file in files:
            if not file.agrees_with(tile.hashes):
                begins_archived = tile.index * WIDTH ** (tile.level + 1) < self._archived
                error = TilesLost if begins_archived else TreeDamaged
                raise error(file.path, "its hashes are not those of the events")
            self._checked.add(file.path)
        return self._tiles is None or any(file.width >= tile.width for file in files)

    def _files(self, tile: Tile) -> list[TileFile]:
        return list(self._tiles.files(tile.level, tile.index)) if self._tiles else []


def tree_audit(directory: Path, heads: Sequence[TreeHead] = ()) -> TreeAudit:
    """An audit of the log in a directory: with its tiles, and heads that somebody vouched for."""
    return TreeAudit(TileDirectory(directory), heads)
