"""Reading a whole log: replay, which decodes and folds, and the audit, which believes nothing."""

import time
from collections import Counter
from pathlib import Path

from eventlog import read_log, verify_log


def replay(directory: Path) -> float:
    """Verify checksums and chain, decode, and fold; return events per second."""
    latest: dict[str, int] = {}
    begun = time.perf_counter()
    for event in read_log(directory):
        latest[event.stream] = event.version
    return sum(latest.values()) / (time.perf_counter() - begun)


def audit(directory: Path) -> float:
    """Check everything, the hash tree too; return events per second."""
    found: Counter[str] = Counter()
    begun = time.perf_counter()
    for segment in verify_log(directory):
        found["events"] += segment.last - segment.first + 1
    return found["events"] / (time.perf_counter() - begun)
