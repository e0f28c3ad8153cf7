"""Hash trees of RFC 6962 (section 2.1) with SHA-256: growing them, proofs, and their checks. Pure.

A tree over n leaves is split where its largest complete left part ends, so it is a row of complete
subtrees, one for each bit of n: its peaks. A complete subtree is named by its height and its index
in the row of all subtrees of that height.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

import msgspec

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

PATH_LIMIT = 64
"""Hashes in one proof: positions have 64 bits, so no tree is higher."""

Node = Callable[[int, int], bytes]
"""The root of the complete subtree with this height and index."""


class TreeHead(msgspec.Struct, frozen=True):
    """A tree at one moment: the number of its leaves, and their root."""

    size: int
    root: bytes


def leaf_hash(entry: bytes | msgspec.Raw) -> bytes:
    """The hash of one entry."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return sha256(b"\1" + left + right).digest()


def parents(row: Sequence[bytes]) -> list[bytes]:
    """The row above a row of even length."""
    # The same as node_hash; a call for each would cost as much as the digest.
    hashes = iter(row)
    pairs = zip(hashes, hashes, strict=True)
    return [sha256(b"\1" + left + right).digest() for left, right in pairs]


def complete_root(row: Sequence[bytes]) -> bytes:
    """The root over a row whose length is a power of two."""
    while len(row) > 1:
        row = parents(row)
    return row[0]


def joined(peaks: Iterable[bytes]) -> bytes:
    """The root of a tree from its peaks, the smallest (the rightmost) first."""
    root = b""
    for peak in peaks:
        root = node_hash(peak, root) if root else peak
    return root or EMPTY_ROOT


class Frontier:
    """The peaks of a growing tree: all that is needed to add leaves and to tell the root."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # by height; empty where the size has no such bit

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes. Many at once cost less than one by one."""
        before, self.size = self.size, self.size + len(leaves)
        row, height = list(leaves), 0
        while row:
            if height == len(self._peaks):
                self._peaks.append(b"")
            if before & 1:
                row.insert(0, self._peaks[height])
            self._peaks[height] = row.pop() if len(row) & 1 else b""
            row, before, height = parents(row), before >> 1, height + 1

    @property
    def root(self) -> bytes:
        """The root over all leaves so far."""
        return joined(peak for peak in self._peaks if peak)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frontier) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment]  # it grows

    def encode(self) -> bytes:
        """The frontier as bytes, to be kept in a cache."""
        return msgspec.msgpack.encode((self.size, self._peaks))

    @classmethod
    def decode(cls, data: bytes) -> "Frontier":
        """What `encode` gave. Raises ValueError where the bytes are no frontier."""
        size, peaks = msgspec.msgpack.decode(data, type=tuple[int, list[bytes]])
        heights = [height for height, peak in enumerate(peaks) if peak]
        if sum(1 << height for height in heights) != size or len(peaks) > PATH_LIMIT:
            raise ValueError("the peaks contradict the size")
        if {len(peaks[height]) for height in heights} - {HASH_SIZE}:
            raise ValueError("a peak is no SHA-256 value")
        frontier = cls()
        frontier.size, frontier._peaks = size, peaks
        return frontier


def subtree_root(start: int, end: int, node: Node) -> bytes:
    """The root over leaves `start` to `end` (excluded), a range that occurs in such a tree."""
    return joined(reversed([node(height, start >> height) for height, start in _peaks(start, end)]))


def _peaks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Height and first leaf of each complete subtree of a range, the largest first."""
    while start < end:
        height = (end - start).bit_length() - 1
        yield height, start
        start += 1 << height


def _split(start: int, end: int) -> int:
    """Where the left part of a range of at least two leaves ends (k of RFC 6962)."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, section 2.1.1. Raises ValueError without such a leaf."""
    if not 0 <= index < size:
        raise ValueError(f"a tree over {size} leaves has no leaf {index}")
    path = []
    start, end = 0, size
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            path.append(subtree_root(split, end, node))
            end = split
        else:
            path.append(subtree_root(start, split, node))
            start = split
    return path[::-1]


def consistency_path(old: int, size: int, node: Node) -> list[bytes]:
    """PROOF(old, D[size]) of RFC 6962, section 2.1.2. Raises ValueError unless old <= size."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree over {size} leaves was never one over {old}")
    if old in (0, size):
        return []
    path = []
    start, end = 0, size
    while end != old:
        split = _split(start, end)
        if old <= split:
            path.append(subtree_root(split, end, node))
            end = split
        else:
            path.append(subtree_root(start, split, node))
            start = split
    if start:
        path.append(subtree_root(start, end, node))
    return path[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to (RFC 9162, section 2.1.3.2); None where it fits no tree."""
    if not 0 <= index < size:
        return None
    at, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree over `old` leaves is the beginning of the other (RFC 9162, 2.1.4.2)."""
    if old in (0, size):
        return not path and old_root == (root if old else EMPTY_ROOT)
    if not 0 < old < size or not path:
        return False
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    # A complete old tree is its own first step, and is left out of the path.
    steps = path if old & (old - 1) else [old_root, *path]
    old_so_far = new_so_far = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_so_far, new_so_far = node_hash(step, old_so_far), node_hash(step, new_so_far)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_so_far = node_hash(new_so_far, step)
        at, last = at >> 1, last >> 1
    return (last, old_so_far, new_so_far) == (0, old_root, root)
