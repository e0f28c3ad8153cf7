"""What one process holds in memory, as the kernel accounts for it."""

from pathlib import Path

import msgspec

KIB = 1024


class Memory(msgspec.Struct, frozen=True):
    """In bytes. ``proportional`` counts a page that n processes share as an n-th."""

    resident: int
    proportional: int


def memory_of(pid: int) -> Memory:
    """Return the memory of a process that we may look into (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(size) for name, size, *_ in map(str.split, lines)}
    return Memory(kib["Rss:"] * KIB, kib["Pss:"] * KIB)
