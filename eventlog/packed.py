"""A sorted table of fixed-width keys and values in one piece of memory.

An entry costs its bytes and nothing else, and a table is read from a file without making an object
for each entry: that is what keeps a start cheap however long the history is.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from hashlib import blake2b

KEY_BYTES = 16
"""128 bits: two of a billion names fall together with a chance of 2 in 10^21."""


def key_of(*words: str) -> bytes:
    """The key for some words. Each word's length is hashed too, so that no two lists are alike."""
    digest = blake2b(digest_size=KEY_BYTES)
    for word in words:
        data = word.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


class PackedTable:
    """Immutable; `with_entries` makes another. Raises ValueError where `data` is no such table."""

    __slots__ = ("_count", "_stride", "data", "value_bytes")

    def __init__(self, value_bytes: int, data: bytes = b"") -> None:
        self._stride = KEY_BYTES + value_bytes
        self._count, rest = divmod(len(data), self._stride)
        if rest:
            raise ValueError(f"{len(data)} bytes are no table of entries of {self._stride} bytes")
        self.value_bytes = value_bytes
        self.data = data

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for start in range(0, len(self.data), self._stride):
            entry = self.data[start : start + self._stride]
            yield entry[:KEY_BYTES], entry[KEY_BYTES:]

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        index = self._place(key)
        if not self._holds(index, key):
            return None
        start = index * self._stride
        return self.data[start + KEY_BYTES : start + self._stride]

    def with_entries(self, changes: Mapping[bytes, bytes]) -> "PackedTable":
        """A table with these entries added or replaced. Raises ValueError for another width."""
        if any(len(key) + len(value) != self._stride for key, value in changes.items()):
            raise ValueError(f"an entry of this table takes {self._stride} bytes")
        pieces: list[bytes] = []
        taken = 0
        for key in sorted(changes):
            index = self._place(key)
            pieces += (self.data[taken : index * self._stride], key, changes[key])
            taken = (index + self._holds(index, key)) * self._stride
        pieces.append(self.data[taken:])
        return PackedTable(self.value_bytes, b"".join(pieces))

    def _place(self, key: bytes) -> int:
        return bisect_left(range(self._count), key, key=self._key)

    def _key(self, index: int) -> bytes:
        start = index * self._stride
        return self.data[start : start + KEY_BYTES]

    def _holds(self, index: int, key: bytes) -> bool:
        return index < self._count and self._key(index) == key
