"""The event log: every byte of one that is read within seconds, else where to have it read."""

from collections.abc import Iterator

from eventlog import EventLogError, verify_log
from supervisor.config import Config
from supervisor.doctor.finding import Finding, fault, ok
from supervisor.state_directory import StateDirectory

QUICK_BYTES = 64 << 20
"""Read and checked within about a second."""
VERIFY = "chronovisor log verify --keep-going"


def look_at_log(config: Config) -> Iterator[Finding]:
    """Yield whether the log is intact."""
    directory = StateDirectory(config.state_dir).log
    size = sum(path.stat().st_size for path in directory.glob("*.log"))
    if not size:
        yield ok("log", "there is none yet")
    elif size > QUICK_BYTES:
        yield ok("log", f"{size >> 20} MiB were not read: chronovisor log verify does")
    else:
        try:
            *_, last = verify_log(directory)
        except EventLogError as damage:
            yield fault("log", str(damage), f"{VERIFY} tells what is readable; then log repair")
        else:
            yield ok("log", f"{last.last} events, every byte as it was written")
