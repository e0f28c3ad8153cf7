"""The hash tree as files: tiles of 256 hashes (c2sp.org/tlog-tiles), written as the tree grows.

Tiles are derived from the log. They are written without a sync, may be removed at any time while
the events are there, and are never trusted: what is computed from them is held against a root.
"""

import contextlib
import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from eventlog.errors import TreeDamaged
from eventlog.merkle import HASH_SIZE, complete_root, joined
from eventlog.regular_file import read_regular

WIDTH = 256
"""Hashes in a full tile."""

TILE_BYTES = WIDTH * HASH_SIZE
"""The size of a full tile's file; whatever is larger is none."""

TILE_HEIGHT = 8
"""Heights that one tile spans: its hashes are the leaves of a complete subtree of this height."""

TILES_NAME = "tile"
_CACHED = 64
"""Tiles kept while paths are computed: a path touches a few per level, of which there are 8."""


class TilesLost(TreeDamaged):
    """A part of the tree that cannot be derived again: the events below it were archived."""

    remedy = "restore it from a copy, or put the archived segments back; nothing else makes it anew"


class Tile(msgspec.Struct, frozen=True):
    """Consecutive hashes of one level; with fewer than 256 it is partial."""

    level: int
    index: int
    hashes: bytes

    @property
    def width(self) -> int:
        """The number of hashes."""
        return len(self.hashes) // HASH_SIZE

    @property
    def path(self) -> str:
        """Where it lies below the log's directory."""
        return tile_path(str(self.level), self.index, self.width)


class TileFile(msgspec.Struct, frozen=True):
    """A file that should hold the first `width` hashes of a tile."""

    path: str
    width: int
    content: bytes

    def agrees_with(self, hashes: bytes) -> bool:
        """Whether it is whole, and begins with these hashes or is their beginning."""
        both = min(len(self.content), len(hashes))
        return len(self.content) == self.width * HASH_SIZE and self.content[:both] == hashes[:both]


def tile_path(level: str, index: int, width: int = WIDTH) -> str:
    """`tile/<level>/<index>[.p/<width>]`; the level may also be `entries`."""
    digits = f"{index:0{3 * -(-len(str(index)) // 3)}}"
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    partial = f".p/{width}" if width < WIDTH else ""
    return f"{TILES_NAME}/{level}/{name}{partial}"


def hashes_of(tile: bytes) -> list[bytes]:
    """A tile's bytes as hashes."""
    return [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]


class TileTree:
    """A growing tree that hands out each tile as it becomes full.

    It keeps the partial tile of every level, from which the root can be told.
    """

    def __init__(self, emit: Callable[[Tile], None], edge: Sequence[Tile] = ()) -> None:
        self._emit = emit
        self._rows = [hashes_of(tile.hashes) for tile in edge]
        self._next = [tile.index for tile in edge]

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._next[0] * WIDTH + len(self._rows[0]) if self._rows else 0

    @property
    def root(self) -> bytes:
        """The root over all leaves so far."""
        return joined(peak for row in self._rows for peak in _peaks(row))

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes."""
        self._append(0, leaves)

    def partial(self) -> Iterator[Tile]:
        """The tiles that are not full, without those that are empty."""
        return (tile for tile in self.edge() if tile.hashes)

    def edge(self) -> list[Tile]:
        """The open tile of every level, empty or not: what a tree can be gone on from."""
        rows = zip(self._next, self._rows, strict=True)
        return [Tile(level, index, b"".join(row)) for level, (index, row) in enumerate(rows)]

    def _append(self, level: int, hashes: Sequence[bytes]) -> None:
        if level == len(self._rows):
            self._rows.append([])
            self._next.append(0)
        row = self._rows[level]
        row += hashes
        roots = []
        while len(row) >= WIDTH:
            full = row[:WIDTH]
            del row[:WIDTH]
            self._emit(Tile(level, self._next[level], b"".join(full)))
            self._next[level] += 1
            roots.append(complete_root(full))
        if roots:
            self._append(level + 1, roots)


def _peaks(hashes: list[bytes]) -> Iterator[bytes]:
    """The roots of the complete subtrees of a partial tile, the smallest first."""
    end = len(hashes)
    while end:
        width = end & -end
        yield complete_root(hashes[end - width : end])
        end -= width


class TileDirectory:
    """The tiles of one log, below its directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, tile: Tile) -> None:
        """Write a tile that readers see whole or not at all; a full one replaces its partials."""
        path = self._directory / tile.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(tile.hashes)
        draft.rename(path)
        if tile.width == WIDTH:
            shutil.rmtree(path.with_name(f"{path.name}.p"), ignore_errors=True)

    def read(self, level: int, index: int, width: int) -> bytes | None:
        """The first `width` hashes of a tile, also from a wider one; None where there is none."""
        for path, wide in self._holding(level, index, width):
            with contextlib.suppress(FileNotFoundError):
                hashes = read_regular(path, TILE_BYTES + 1)
                if len(hashes) == wide * HASH_SIZE:
                    return hashes[: width * HASH_SIZE]
        return None

    def files(self, level: int, index: int) -> Iterator[TileFile]:
        """Every file that holds hashes of a tile, whatever is in it; the widest is the last."""
        for width in (*self._partial_widths(level, index), WIDTH):
            path = tile_path(str(level), index, width)
            with contextlib.suppress(FileNotFoundError):
                content = read_regular(self._directory / path, TILE_BYTES + 1)
                yield TileFile(path, width, content)

    def edge(self, size: int) -> list[Tile] | None:
        """The open tiles of a tree of this size, unchecked; None where one is missing."""
        tiles = []
        level, count = 0, size
        while count:
            index, width = divmod(count, WIDTH)
            hashes = self.read(level, index, width) if width else b""
            if hashes is None:
                return None
            tiles.append(Tile(level, index, hashes))
            level, count = level + 1, index
        return tiles

    def _holding(self, level: int, index: int, width: int) -> Iterator[tuple[Path, int]]:
        """The files that may hold these hashes, and how many each must have."""
        full = self._directory / tile_path(str(level), index)
        partials = full.with_name(f"{full.name}.p")
        if width < WIDTH:
            yield partials / str(width), width
        yield full, WIDTH
        if width < WIDTH:
            wider = (wide for wide in self._partial_widths(level, index) if wide > width)
            yield from ((partials / str(wide), wide) for wide in wider)

    def _partial_widths(self, level: int, index: int) -> list[int]:
        full = self._directory / tile_path(str(level), index)
        partials = full.with_name(f"{full.name}.p")
        if not partials.is_dir():
            return []
        widths = (int(path.name) for path in partials.iterdir() if path.name.isdecimal())
        return sorted(width for width in widths if 0 < width < WIDTH)


class TileNodes:
    """Complete subtrees of a tree of `size` leaves, read from its tiles and checked by nobody."""

    def __init__(self, tiles: TileDirectory, size: int) -> None:
        self._tiles = tiles
        self._size = size
        self._cache: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    def __call__(self, height: int, index: int) -> bytes:
        """The root of one subtree. Raises TilesLost where its tile is missing."""
        level, inner = divmod(height, TILE_HEIGHT)
        tile, offset = divmod(index << inner, WIDTH)
        return complete_root(self._tile(level, tile)[offset : offset + (1 << inner)])

    def _tile(self, level: int, index: int) -> list[bytes]:
        known = self._cache.get((level, index))
        if known is not None:
            return known
        row = self._size >> TILE_HEIGHT * level
        width = min(WIDTH, row - index * WIDTH)
        hashes = self._tiles.read(level, index, width)
        if hashes is None:
            raise TilesLost(tile_path(str(level), index, width), "it is missing")
        self._cache[level, index] = tile = hashes_of(hashes)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return tile
