"""Writes initramfs archives in the "newc" cpio format, the same bytes for the same members.

Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. Owner, times, device
numbers and inodes are fixed, members are sorted, and missing parent directories are supplied,
so nothing of the building machine gets into the archive.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"
# The kernel wants every concatenated archive to begin at a multiple of four.
_ALIGNMENT = 4


@dataclass(frozen=True)
class Member:
    """One entry: `path` relative to the root, `mode` with its file type, content or link target."""

    path: str
    mode: int
    data: bytes = b""


def directory(path: str) -> Member:
    """A directory that everyone may read."""
    return Member(path, stat.S_IFDIR | 0o755)


def symlink(path: str, target: str) -> Member:
    """A symbolic link to `target`."""
    return Member(path, stat.S_IFLNK | 0o777, target.encode())


def file(path: str, data: bytes, *, executable: bool = False) -> Member:
    """A regular file of mode 0755 or 0644."""
    return Member(path, stat.S_IFREG | (0o755 if executable else 0o644), data)


def archive(members: Iterable[Member]) -> Iterator[bytes]:
    """The archive in pieces. Of two members with one path, ValueError."""
    for inode, member in enumerate(_complete(members), start=1):
        yield from _entry(inode, member)
    yield from _entry(0, Member(_TRAILER, 0))


def _complete(members: Iterable[Member]) -> list[Member]:
    by_path: dict[str, Member] = {}
    for member in members:
        if member.path in by_path:
            raise ValueError(f"two members are named {member.path}")
        by_path[member.path] = member
    for path in list(by_path):
        for parent in list(PurePosixPath(path).parents)[:-1]:
            by_path.setdefault(str(parent), directory(str(parent)))
    return [by_path[path] for path in sorted(by_path)]


def _entry(inode: int, member: Member) -> Iterator[bytes]:
    name = member.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device and its node (two numbers each), name, check
    fields = (inode, member.mode, 0, 0, links, 0, len(member.data), 0, 0, 0, 0, len(name), 0)
    header = _MAGIC.encode() + b"".join(b"%08X" % field for field in fields)
    yield _padded(header + name)
    yield _padded(member.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
