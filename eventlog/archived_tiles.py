"""The tiles over archived events: all that is left of these, so nothing can make them anew.

Each is held against the tile above it, up to the open ones, from which the tree goes on; those are
borne out by every root that was ever told of the whole tree.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from eventlog.merkle import TreeHead, complete_root, consistency_path, is_consistent
from eventlog.storage import DiskStorage
from eventlog.tiles import (
    TILES_NAME,
    WIDTH,
    Tile,
    TileDirectory,
    TileFile,
    TileNodes,
    TilesLost,
    TileTree,
    hashes_of,
)
from eventlog.walk import oldest_position


class _Child(msgspec.Struct, frozen=True):
    """A full tile, and the hash that the tile above must have of it."""

    path: str
    root: bytes


class ArchivedTiles:
    """The tiles over the first `size` leaves of a tree."""

    def __init__(self, tiles: TileDirectory, size: int) -> None:
        self.size = size
        self.sound: set[str] = set()
        """The files that were checked."""
        self.lost = 0
        """The tiles that are not there: what they covered can no longer be proved."""
        self._tiles = tiles

    def tree(self, emit: Callable[[Tile], None]) -> TileTree | None:
        """The tree over them, to be gone on from, or None where its open tiles are missing.

        Raises TilesLost where one contradicts another.
        """
        edge = self._tiles.edge(self.size)
        if edge is None:
            return None
        self._check()
        return TileTree(emit, edge)

    def begins_with(self, head: TreeHead, root: bytes) -> bool:
        """Whether the tree over them, which has this root, began as the head says.

        Raises TilesLost where a tile that would tell is missing.
        """
        nodes = TileNodes(self._tiles, self.size)
        path = consistency_path(head.size, self.size, nodes)
        return is_consistent(head.size, head.root, self.size, root, path)

    def _check(self) -> None:
        level, count = 0, -(-self.size // WIDTH)
        below: Mapping[int, _Child] = {}
        while count:
            below = {
                index: child
                for index in range(count)
                if (child := self._check_tile(level, index, below)) is not None
            }
            # Above the top there may still be a tile: of events that came later.
            level, count = level + 1, -(-count // WIDTH) if count > 1 or below else 0

    def _check_tile(self, level: int, index: int, below: Mapping[int, _Child]) -> _Child | None:
        files = list(self._tiles.files(level, index))
        for file in files:
            if not file.agrees_with(files[-1].content):
                raise TilesLost(file.path, f"its hashes are not those of {files[-1].path}")
            _check_children(file, index * WIDTH, below)
            self.sound.add(file.path)
        if files and files[-1].width == WIDTH:
            return _Child(files[-1].path, complete_root(hashes_of(files[-1].content)))
        if (index + 1) * WIDTH ** (level + 1) <= self.size:
            self.lost += 1
        return None


def _check_children(file: TileFile, first: int, below: Mapping[int, _Child]) -> None:
    for at, found in enumerate(hashes_of(file.content)):
        child = below.get(first + at)
        if child is not None and child.root != found:
            raise TilesLost(file.path, f"its hash {at} is not the root of {child.path}")


def begin_tiles(directory: Path) -> TileTree:
    """The tree before the log's first event, which is not empty where events were archived.

    Raises TilesLost.
    """
    tiles = TileDirectory(directory)
    archived = ArchivedTiles(tiles, oldest_position(DiskStorage(directory)) - 1)
    tree = archived.tree(tiles.write)
    if tree is None:
        missing = f"tiles of the archived events 1 to {archived.size} are missing"
        raise TilesLost(TILES_NAME, missing)
    return tree
