"""The version of every stream there ever was, at 24 bytes for each that is at rest."""

from collections.abc import Mapping
from typing import Any

from eventlog.packed import PackedTable, key_of

VERSION_BYTES = 8
RECENT_STREAMS = 65_536
"""Streams kept as plain entries until they are packed: packing costs as much as the whole table."""


class StreamVersions(dict[str, int]):
    """Streams that were appended to lately stand in the dict, the rest in a packed table."""

    def __init__(self, recent: Mapping[str, int] | None = None, packed: bytes = b"") -> None:
        super().__init__(recent or {})
        self._settled = PackedTable(VERSION_BYTES, packed)

    def __missing__(self, stream: str) -> int:
        found = self._settled.get(key_of(stream))
        return 0 if found is None else int.from_bytes(found, "little")

    def get(self, stream: str, default: Any = 0) -> Any:
        """The version of a stream; 0 where there is none."""
        return self[stream] or default

    def settle(self, above: int = RECENT_STREAMS) -> None:
        """Pack the plain entries if there are more than `above`."""
        if len(self) > above:
            self._settled = PackedTable(VERSION_BYTES, self.packed())
            self.clear()

    def agrees_with(self, seen: "StreamVersions", besides: str) -> bool:
        """Whether every stream of `seen` has the same version here, one stream left out."""
        here = PackedTable(VERSION_BYTES, self.packed())
        there = PackedTable(VERSION_BYTES, seen.packed())
        left_out = key_of(besides)
        return all(key == left_out or here.get(key) == version for key, version in there)

    def packed(self) -> bytes:
        """All streams as one table; the same for equal versions, whatever their order."""
        entries = {
            key_of(stream): version.to_bytes(VERSION_BYTES, "little")
            for stream, version in self.items()
        }
        return self._settled.with_entries(entries).data
