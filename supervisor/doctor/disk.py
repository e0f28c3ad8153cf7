"""The disk below the state directory: room, and how long it takes to make something durable."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok, warning

SUBJECT = "disk"
FULL_BYTES = 64 << 20
"""Less than one segment of the log: a daemon ends when its log takes no more."""
SCARCE_BYTES = 2 << 30
"""Some dozen VMs with a small results disk each."""
FILES_FEW = 10_000

WRITES = 16
WRITE_BYTES = 4096
SLOW_MS = 50.0
"""Of one write that is made durable. Every answer of the daemon waits for one."""


def look_at_disk(config: Config) -> Iterator[Finding]:
    """Yield how much room there is, and how fast a write is durable."""
    there = next(path for path in (config.state_dir, *config.state_dir.parents) if path.exists())
    yield room_of(there, os.statvfs(there))
    if there == config.state_dir and there.is_dir() and os.access(there, os.W_OK):
        yield latency_of(tuple(_durable_writes_ms(there)))


def room_of(there: Path, found: os.statvfs_result) -> Finding:
    """Return whether what is free is enough."""
    free = found.f_bavail * found.f_frsize
    says = f"{free / (1 << 30):.1f} GiB free at {there}"
    if free < FULL_BYTES:
        return fault(SUBJECT, says, "make room: delete VMs, chronovisor log archive, or move it")
    if free < SCARCE_BYTES:
        return warning(SUBJECT, says, "make room: delete VMs, or chronovisor log archive")
    if found.f_files and found.f_favail < FILES_FEW:
        return warning(SUBJECT, f"only {found.f_favail} files more at {there}", "delete VMs")
    return ok(SUBJECT, says)


def latency_of(took_ms: Sequence[float]) -> Finding:
    """Return whether writes were durable soon enough."""
    median, most = statistics.median(took_ms), max(took_ms)
    says = f"a write is durable after {median:.1f} ms, at most {most:.1f} ms"
    if median > SLOW_MS:
        return warning(SUBJECT, says, "put the state directory on a faster or less busy disk")
    return ok(SUBJECT, says)


def _durable_writes_ms(there: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=there) as file:
        for _ in range(WRITES):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(WRITE_BYTES))
            os.fdatasync(file.fileno())
            yield (time.perf_counter() - began) * 1000
