"""Tiles: their names, what is in them, and that a tree goes on from any edge."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.errors import TreeDamaged
from eventlog.merkle import EMPTY_ROOT, Frontier, inclusion_path, leaf_hash, root_from_inclusion
from eventlog.tiles import Tile, TileDirectory, TileNodes, TileTree, tile_path


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(size)]


def root(size: int) -> bytes:
    frontier = Frontier()
    frontier.extend(leaves(size))
    return frontier.root


def grown(size: int) -> tuple[TileTree, list[Tile]]:
    tiles: list[Tile] = []
    tree = TileTree(tiles.append)
    tree.extend(leaves(size))
    return tree, tiles


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (0, 1, "tile/0/000.p/1"),
        (999, 256, "tile/0/999"),
        (1000, 256, "tile/0/x001/000"),
        (1234067, 256, "tile/0/x001/x234/067"),
        (1234067, 112, "tile/0/x001/x234/067.p/112"),
    ],
)
def test_a_tile_lies_where_the_specification_says(index: int, width: int, path: str) -> None:
    assert tile_path("0", index, width) == path


def test_a_tree_of_70000_has_the_tiles_of_the_specification_s_example() -> None:
    tree, full = grown(70_000)
    by_level = [sum(1 for tile in full if tile.level == level) for level in range(3)]
    assert by_level == [273, 1, 0]
    assert [(tile.level, tile.width) for tile in tree.partial()] == [(0, 112), (1, 17), (2, 1)]
    assert (tree.size, tree.root) == (70_000, root(70_000))


def test_a_full_tile_has_its_root_in_the_level_above() -> None:
    tree, (tile,) = grown(256)
    assert (tile.path, len(tile.hashes)) == ("tile/0/000", 8192)
    (above,) = tree.partial()
    assert (above.path, above.hashes) == ("tile/1/000.p/1", root(256))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=6))
def test_a_tree_has_the_root_of_its_leaves_however_they_come(groups: list[int]) -> None:
    every, tree, size = leaves(sum(groups)), TileTree(lambda tile: None), 0
    assert tree.root == EMPTY_ROOT
    for group in groups:
        tree.extend(every[size : size + group])
        size += group
        assert (tree.size, tree.root) == (size, root(size))


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 1000, 65_536, 65_600])
def test_a_tree_goes_on_from_the_files_of_its_edge(tmp_path: Path, size: int) -> None:
    directory = TileDirectory(tmp_path)
    tree = TileTree(directory.write)
    tree.extend(leaves(size))
    for tile in tree.partial():
        directory.write(tile)
    edge = directory.edge(size)
    assert edge is not None
    again = TileTree(directory.write, edge)
    assert (again.size, again.root) == (size, tree.root)
    again.extend(leaves(size + 300)[size:])
    assert again.root == root(size + 300)


def test_an_edge_with_a_missing_tile_is_none(tmp_path: Path) -> None:
    directory = TileDirectory(tmp_path)
    assert directory.edge(0) == []
    assert directory.edge(5) is None
    directory.write(Tile(0, 0, b"".join(leaves(4))))
    assert directory.edge(5) is None
    (tmp_path / "tile/0/000.p/5").write_bytes(b"cut short")
    assert directory.edge(5) is None


def test_a_partial_tile_is_read_from_any_wider_one_and_goes_when_it_is_full(
    tmp_path: Path,
) -> None:
    directory = TileDirectory(tmp_path)
    hashes = leaves(256)
    directory.write(Tile(0, 0, b"".join(hashes[:9])))
    directory.write(Tile(0, 0, b"".join(hashes[:20])))
    assert directory.read(0, 0, 5) == b"".join(hashes[:5])
    directory.write(Tile(0, 0, b"".join(hashes)))
    assert [path.name for path in (tmp_path / "tile/0").iterdir()] == ["000"]
    assert directory.read(0, 0, 5) == b"".join(hashes[:5])


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 700))
def test_paths_come_from_tiles(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, size: int
) -> None:
    directory = TileDirectory(tmp_path_factory.mktemp("log"))
    tree = TileTree(directory.write)
    tree.extend(leaves(size))
    for tile in tree.partial():
        directory.write(tile)
    older = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, older - 1))
    path = inclusion_path(index, older, TileNodes(directory, older))
    leaf = leaves(size)[index]
    assert root_from_inclusion(index, older, leaf, path) == root(older)


def test_a_path_through_a_missing_tile_says_which_one(tmp_path: Path) -> None:
    with pytest.raises(TreeDamaged, match=r"tile/0/000.p/2"):
        inclusion_path(0, 2, TileNodes(TileDirectory(tmp_path), 2))
