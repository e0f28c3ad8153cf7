"""Logs on the disk that were signed, archived, and rewritten with their own key."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from eventlog import LogOptions, NewEvent, Record, drop_segments, open_log, verify_log
from eventlog.checkpoint import SignedCheckpoint
from eventlog.notary import rebuild_tiles
from eventlog.note import Signer
from eventlog.offline import read_log
from eventlog.storage import DiskStorage
from eventlog.tree_audit import tree_audit
from tests.eventlog.samples import event

ORIGIN = "example.com/log"


def signer(name: str = ORIGIN) -> Signer:
    """One key for all tests: made from a fixed seed."""
    return Signer(name, b"\x07" * 32)


def write(directory: Path, names: list[str], *, segment_bytes: int = 4096) -> None:
    async def run() -> None:
        async with open_log(directory, LogOptions(segment_bytes=segment_bytes)) as log:
            for name in names:
                payload = msgspec.msgpack.encode({"name": name, "bytes": b"\x00\xff"})
                await log.append([event(name, payload=payload)])

    trio.run(run)


def verify(directory: Path, *checkpoints: SignedCheckpoint) -> int:
    heads = [signed.checkpoint.head for signed in checkpoints]
    return list(verify_log(directory, tree_audit(directory, heads)))[-1].last


def archive(directory: Path, below: int, to: Path | None = None) -> None:
    async def run() -> None:
        async with open_log(directory, LogOptions(segment_bytes=4096)) as log:
            await log.append_base(b"state", below)
            rebuild_tiles(directory, log.head)
            drop_segments(DiskStorage(directory), below, DiskStorage(to) if to else None)

    trio.run(run)


def first_of(directory: Path) -> int:
    return int(min(directory.glob("*.log")).stem)


def rewritten(log: Path, to: Path, change: Callable[[Record], NewEvent]) -> Path:
    """The same log with other events: same ids, whole chain, footers, tiles and signatures."""

    records = list(read_log(log))
    now = records[0].recorded_at

    def clock() -> int:
        return now

    async def run() -> None:
        nonlocal now
        async with open_log(to, LogOptions(segment_bytes=4096, clock=clock)) as log:
            for record in records:
                now = record.recorded_at
                await log.append([change(record)])

    trio.run(run)
    return to


def as_before(record: Record) -> NewEvent:
    return NewEvent(record.stream, record.type, record.payload, record.event_id)


def with_another(name: str) -> Callable[[Record], NewEvent]:
    def change(record: Record) -> NewEvent:
        if record.event_id != name:
            return as_before(record)
        return msgspec.structs.replace(as_before(record), event_id="forged")

    return change
