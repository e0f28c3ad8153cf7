"""From exec to the line that says where the daemon serves, and what it holds in memory then."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import msgspec

START_S = 600
"""Folding a million events takes less on any machine that is of use."""

MIB = 1024 * 1024


class NotReady(Exception):
    """The daemon ended, or took too long, before it served."""


class Start(msgspec.Struct, frozen=True):
    """One start: seconds until it served, and its resident memory then, in MiB."""

    seconds: float
    memory_mib: float


class Starts(msgspec.Struct, frozen=True):
    """The starts of one log, with their medians."""

    name: str
    events: int
    starts: tuple[Start, ...]

    @property
    def seconds(self) -> float:
        """The median time to serve."""
        return median(start.seconds for start in self.starts)

    @property
    def memory_mib(self) -> float:
        """The median memory."""
        return median(start.memory_mib for start in self.starts)


def start(state_dir: Path, vms: int) -> Start:
    """Start a daemon, time it, and end it in good order. Raises NotReady."""
    command = [sys.executable, "-m", "supervisor", "--state-dir", str(state_dir), "serve", "--json"]
    begun = time.monotonic()
    with subprocess.Popen(
        [*command, *("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CHRONOVISOR_CATALOGUE": str(state_dir / "no-catalogue")},
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.monotonic() - begun
        if not line or json.loads(line)["vms"] != vms:
            process.kill()
            raise NotReady(f"the daemon of {state_dir} said {line!r}")
        memory = _resident_mib(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)
    return Start(seconds, memory)


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / MIB
