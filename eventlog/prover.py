"""Making proofs from a log directory. Every proof is checked before it is handed out."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from eventlog.checkpoint import Checkpoint, SignedCheckpoint
from eventlog.errors import (
    CheckpointAhead,
    HistoryChanged,
    PositionArchived,
    PositionInFuture,
    TreeDamaged,
)
from eventlog.merkle import (
    Node,
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    root_from_inclusion,
)
from eventlog.notary import acknowledged, rebuild_tiles
from eventlog.offline import read_log
from eventlog.proofs import ConsistencyProof, InclusionProof, view
from eventlog.record import Record
from eventlog.storage import DiskStorage
from eventlog.tiles import TileDirectory, TileNodes
from eventlog.walk import oldest_position


def prove_inclusion(
    directory: Path, position: int, signed: SignedCheckpoint, archive: Path | None = None
) -> InclusionProof:
    """Prove to whoever has this checkpoint that event `position` is in the log.

    The bytes of an event that was archived come from the archive's directory, their path from the
    tiles that stayed. Raises PositionInFuture for an event that the checkpoint does not cover,
    PositionArchived, HistoryChanged, and what reading a log raises.
    """
    checkpoint = signed.checkpoint
    _check_covers(directory, checkpoint)
    if not 1 <= position <= checkpoint.size:
        raise PositionInFuture(position, checkpoint.size)
    event = _event(directory, position, archive)
    index, leaf = position - 1, leaf_hash(event.raw)
    path = _sound_path(
        directory,
        checkpoint.size,
        partial(inclusion_path, index, checkpoint.size),
        lambda path: root_from_inclusion(index, checkpoint.size, leaf, path) == checkpoint.root,
    )
    return InclusionProof(position, view(event), event.raw, path, signed.note)


def prove_consistency(
    directory: Path, old: SignedCheckpoint, new: SignedCheckpoint
) -> ConsistencyProof:
    """Prove that the log of the new checkpoint begins with that of the old one.

    Raises HistoryChanged where it does not, and CheckpointAhead.
    """
    before, after = old.checkpoint, new.checkpoint
    _check_covers(directory, after)
    if before.size > after.size:
        raise CheckpointAhead(before.size, after.size)
    path = _sound_path(
        directory,
        after.size,
        partial(consistency_path, before.size, after.size),
        lambda path: is_consistent(before.size, before.root, after.size, after.root, path),
    )
    return ConsistencyProof(path, old.note, new.note)


def _event(directory: Path, position: int, archive: Path | None) -> Record:
    oldest = oldest_position(DiskStorage(directory))
    if position >= oldest:
        return next(read_log(directory, position - 1))
    event = next(read_log(archive, position - 1), None) if archive else None
    if event is None or event.position != position:
        raise PositionArchived(position - 1, oldest)
    return event


def _sound_path(
    directory: Path,
    size: int,
    path_from: Callable[[Node], list[bytes]],
    holds: Callable[[list[bytes]], bool],
) -> list[bytes]:
    """The path as the tiles give it, or where that does not hold, as rebuilt tiles do."""
    nodes = partial(TileNodes, TileDirectory(directory), size)
    with suppress(TreeDamaged):
        path = path_from(nodes())
        if holds(path):
            return path
    rebuild_tiles(directory, size)
    path = path_from(nodes())
    if not holds(path):
        raise HistoryChanged(size)
    return path


def _check_covers(directory: Path, checkpoint: Checkpoint) -> None:
    head = acknowledged(DiskStorage(directory))
    if checkpoint.size > head:
        raise CheckpointAhead(checkpoint.size, head)
