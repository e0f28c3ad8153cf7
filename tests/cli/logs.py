"""Logs on the disk for the tests of `log`: written by the real writer, with their real key."""

import shutil
import uuid
from pathlib import Path

import msgspec
import trio

from eventlog import LogOptions, NewEvent, drop_segments, open_log
from eventlog.notary import rebuild_tiles
from eventlog.note import Signer
from eventlog.offline import log_id_of, read_log
from eventlog.segment import HEADER_SIZE, SegmentHeader, encode_header, first_chain
from eventlog.storage import DiskStorage
from supervisor.log_key import load_signer

SEGMENT_BYTES = 4096
"""So small that a few events fill some."""


def write(state_dir: Path, names: list[str]) -> None:
    """One life of a writer: one commit for each name."""

    async def run() -> None:
        options = LogOptions(segment_bytes=SEGMENT_BYTES)
        async with open_log(state_dir / "log", options) as log:
            for name in names:
                payload = msgspec.msgpack.encode({"launch": 1, "bytes": b"\x00\xff"})
                await log.append([NewEvent("vm/iris-1", "vm.agent-ready.v1", payload, name)])

    trio.run(run)


def archive(state_dir: Path, below: int, to: Path) -> int:
    """Move what lies before a position away, and return the last position that is gone."""

    async def run() -> int:
        log = state_dir / "log"
        async with open_log(log, LogOptions(segment_bytes=SEGMENT_BYTES)) as writer:
            await writer.append_base(b"state", below)
            rebuild_tiles(log, writer.head)
            return drop_segments(DiskStorage(log), below, DiskStorage(to))[-1].last

    return trio.run(run)


def signer(state_dir: Path) -> Signer:
    """The log's key, made where there is none."""
    return load_signer(state_dir / "log.key", log_id_of(state_dir / "log"))


def segments(state_dir: Path) -> list[Path]:
    """The log's segments, oldest first."""
    return sorted((state_dir / "log").glob("*.log"))


def flip(file: Path, at: int) -> None:
    """Change one byte of a file, whatever its mode."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)


def rewrite(state_dir: Path, old: str, new: str) -> None:
    """Replace the log by one with one other event: sound in itself, and with the same key."""
    log, forged = state_dir / "log", state_dir / "forged"
    records = list(read_log(log))
    now = 0

    async def run() -> None:
        nonlocal now
        options = LogOptions(segment_bytes=SEGMENT_BYTES, clock=lambda: now)
        async with open_log(forged, options) as log:
            for record in records:
                now = record.recorded_at
                name = new if record.event_id == old else record.event_id
                await log.append([NewEvent(record.stream, record.type, record.payload, name)])

    begin_with_id(log_id_of(log), forged)
    trio.run(run)
    shutil.rmtree(log)
    forged.rename(log)


def begin_with_id(log_id: str, directory: Path) -> None:
    """Begin a log with the id of another, as only somebody does who forges it."""
    identity = uuid.UUID(log_id)
    header = SegmentHeader(
        log_id=identity,
        node_id="local",
        epoch=0,
        first=1,
        chain=first_chain(identity),
        allocated=SEGMENT_BYTES,
        created_at=1,
    )
    directory.mkdir(mode=0o700)
    empty = encode_header(header) + bytes(SEGMENT_BYTES - HEADER_SIZE)
    (directory / header.name).write_bytes(empty)
