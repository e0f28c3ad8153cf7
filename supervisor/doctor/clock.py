"""The host's clock: whether something keeps it right, and whether it fell behind the log."""

import ctypes
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from supervisor.config import Config
from supervisor.doctor.finding import Finding, ok, warning
from supervisor.state_directory import StateDirectory

TIMEX_BYTES = 512
"""struct timex has 208; all zeros ask and change nothing, adjtimex(2)."""
TIME_ERROR = 5
"""What adjtimex(2) returns where nothing keeps the clock."""
SET_IT = "timedatectl set-ntp true, or install chrony"


def look_at_clock(config: Config) -> Iterator[Finding]:
    """Yield how the clock is."""
    now = time.time()
    told = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    segments = StateDirectory(config.state_dir).log.glob("*.log")
    written = max((path.stat().st_mtime for path in segments), default=0.0)
    if written > now:
        behind = f"{told} is {written - now:.0f} s before the log was written last"
        yield warning("clock", behind, SET_IT)
    elif _is_kept():
        yield ok("clock", f"{told}, kept by the network")
    else:
        yield warning("clock", f"{told}, and nothing keeps it right", SET_IT)


def _is_kept() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    state: int = libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return state != TIME_ERROR
