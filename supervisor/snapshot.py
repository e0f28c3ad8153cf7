"""The file that spares a start the reading of history: a cache, never trusted.

``snapshot`` in the state directory: 8 bytes of magic, SHA-256 of the rest, and the rest in
MessagePack: which fold made it, a bookmark of the event log, and the folded state at that place.
Damaged, made by another version of the program, or contradicted by the log's own bytes, it is left
aside with a warning, and the log is folded from its beginning.
"""

import contextlib
import hashlib
import os
from importlib.metadata import version
from pathlib import Path

import msgspec

from eventlog import Bookmark, BookmarkUnfit, check_bookmark
from eventlog.regular_file import open_regular, read_regular
from eventlog.storage import DiskStorage
from supervisor.replay import ReplayError, World
from supervisor.schema import SCHEMA

MAGIC = b"CVSNAP1\n"
_DIGEST_BYTES = 32
_HEAD_BYTES = len(MAGIC) + _DIGEST_BYTES

SNAPSHOT_MAX_BYTES = 1024 * 1024 * 1024
"""A million computations take 160 MiB; whatever is larger is another file."""

FOLD = f"{version('chronovisor')} {SCHEMA.digest}"
"""Which fold made a state: another version may fold the same events otherwise, and begins anew."""


class SnapshotUnfit(Exception):
    """The file cannot be used; the message says why."""


class Snapshot(msgspec.Struct, frozen=True):
    """The state at a place of the log; ``world`` as :meth:`World.encoded` gives it."""

    fold: str
    bookmark: Bookmark
    world: bytes


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Replace the file atomically. Raises OSError, and leaves the old file then."""
    body = msgspec.msgpack.encode(snapshot)
    partial = path.with_name(f"{path.name}.part")
    descriptor = open_regular(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(MAGIC + hashlib.sha256(body).digest() + body)
            file.flush()
            # A digest tells a torn file, but a start after a power cut should not lose its cache.
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def read_snapshot(path: Path) -> Snapshot:
    """Read a file and check that it is whole and of this fold.

    Raises SnapshotUnfit, or FileNotFoundError.
    """
    try:
        data = read_regular(path, SNAPSHOT_MAX_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SnapshotUnfit(f"it cannot be read ({error.strerror})") from error
    head, body = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    if not head.startswith(MAGIC):
        raise SnapshotUnfit("it is of another format")
    if head != MAGIC + hashlib.sha256(body).digest():
        raise SnapshotUnfit("it is damaged")
    try:
        snapshot = msgspec.msgpack.decode(body, type=Snapshot)
    except msgspec.DecodeError as error:
        raise SnapshotUnfit("it is of another format") from error
    if snapshot.fold != FOLD:
        raise SnapshotUnfit("another version of the program made it")
    return snapshot


def load_snapshot(path: Path, log: Path) -> tuple[Bookmark, World]:
    """Return the place and the state that a file holds, if the log bears it out.

    Raises SnapshotUnfit, or FileNotFoundError.
    """
    snapshot = read_snapshot(path)
    try:
        check_bookmark(DiskStorage(log), snapshot.bookmark)
        return snapshot.bookmark, World.decoded(snapshot.world)
    except BookmarkUnfit as error:
        raise SnapshotUnfit(error.why) from error
    except (ReplayError, ValueError) as error:
        raise SnapshotUnfit(str(error)) from error
