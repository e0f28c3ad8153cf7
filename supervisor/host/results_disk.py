"""The results disk (docs/agent-protocol.md): made empty, read only after QEMU has exited.

Whatever is on it was written by a stranger. It is copied, within the limit, and never unpacked.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from supervisor.artifacts.errors import StoreFull
from supervisor.artifacts.store import ArtifactStore
from supervisor.host.private_file import private_file
from supervisor.vm.effects import CollectResult
from supervisor.vm.layout import RESULT_HEADER_BYTES, RESULTS_DISK
from supervisor.vm.observations import ResultCollected, ResultRefused

SECTOR_BYTES = 512
CHUNK_BYTES = 1024 * 1024
HEADER = re.compile(
    rb"CHRONOVISOR-RESULT\n0001\n(\d{20})\n(\d{20})\n(\d{3})\n([ -~]{32})\n\0*", re.ASCII
)
"""Magic, version, launch, length, exit code, error; zeros to the end of the sector."""


class ResultInvalid(Exception):
    """The results disk holds no result of this launch within the limit."""


class Header(msgspec.Struct, frozen=True):
    """The first sector; ``length`` is in bytes."""

    launch: int
    length: int
    exit_code: int
    error: str


def make_results_disk(path: Path, result_bytes: int) -> None:
    """Make a sparse disk with room for the header and ``result_bytes``. Raises OSError."""
    size = RESULT_HEADER_BYTES + result_bytes
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.truncate(descriptor, size + -size % SECTOR_BYTES)
    finally:
        os.close(descriptor)


def collect(order: CollectResult, artifacts: ArtifactStore) -> ResultCollected | ResultRefused:
    """Copy the result into the store, as much as the header says. Blocks."""
    path = Path(order.directory) / RESULTS_DISK
    try:
        with open(path, "rb", opener=private_file) as disk:
            return _collect(disk, order, artifacts)
    except (ResultInvalid, StoreFull) as error:
        return ResultRefused(order.launch, str(error))
    except OSError as error:
        return ResultRefused(order.launch, f"the results disk cannot be read: {error}")


def _collect(disk: BinaryIO, order: CollectResult, artifacts: ArtifactStore) -> ResultCollected:
    header = parse_header(disk.read(RESULT_HEADER_BYTES))
    room = os.fstat(disk.fileno()).st_size - RESULT_HEADER_BYTES
    _check(header, order.launch, min(room, order.limit_bytes))
    with artifacts.receive(header.length) as copy:
        _copy(disk, header.length, copy.write)
        stored = copy.commit()
    return ResultCollected(order.launch, stored.sha256, stored.size, header.exit_code)


def parse_header(sector: bytes) -> Header:
    """Return what the first sector says. Raises ResultInvalid."""
    if (match := HEADER.fullmatch(sector)) is None or len(sector) != RESULT_HEADER_BYTES:
        written = "is damaged" if sector.strip(b"\0") else "was never written"
        raise ResultInvalid(f"the header of the results disk {written}")
    launch, length, exit_code, error = match.groups()
    return Header(int(launch), int(length), int(exit_code), error.decode().rstrip(" "))


def _check(header: Header, launch: int, limit_bytes: int) -> None:
    if header.launch != launch:
        raise ResultInvalid(f"the results disk was written for launch {header.launch}")
    if header.exit_code > 255:
        raise ResultInvalid(f"the results disk says exit code {header.exit_code}")
    if header.length == 0:
        raise ResultInvalid(f"the guest left no result: {header.error or 'it gave no reason'}")
    if header.length > limit_bytes:
        raise ResultInvalid(
            f"the result says that it has {header.length} bytes, but {limit_bytes} are allowed"
        )


def _copy(disk: BinaryIO, length: int, write: Callable[[bytes], None]) -> None:
    left = length
    while left:
        chunk = disk.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise ResultInvalid(f"the results disk ends {left} bytes early")
        write(chunk)
        left -= len(chunk)
