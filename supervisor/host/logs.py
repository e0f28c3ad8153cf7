"""Logs of a launch, each bounded: the newest part, and one older generation beside it.

Together the two generations hold at most ``log_bytes``, and half of that is always the newest.
The logs of QEMU and of its console are open in QEMU for appending, so they cannot be renamed; what
is in them is copied and they are cut to nothing, which appending survives.
"""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import trio

from supervisor.host.private_file import private_file
from supervisor.host.text import printable
from supervisor.vm import layout

TAIL_BYTES = 4096
"""Of a log in an event: some fifty lines, which is enough to see why QEMU ended."""
WATCH_INTERVAL_S = 1.0
"""A serial console under KVM brings at most a few MB in that time."""
WATCHED = (layout.CONSOLE_LOG, layout.STDERR_LOG)


def older_generation(log: Path) -> Path:
    """Return where the part of ``log`` lies that was there before the newest."""
    return log.with_name(f"{log.name}.1")


def console_path(directory: Path, launch: int) -> Path:
    """Return the console log of a launch under its VM's directory; it may not exist yet."""
    return directory / layout.launch_directory(launch) / layout.CONSOLE_LOG


def guest_log_path(directory: Path, launch: int) -> Path:
    """Return the log of the agent's lines of a launch; it may not exist yet."""
    return directory / layout.launch_directory(launch) / layout.GUEST_LOG


def tail(log: Path, limit_bytes: int = TAIL_BYTES) -> str:
    """Return the end of a log as printable text; nothing when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit_bytes))
            text = file.read(limit_bytes).decode(errors="replace")
    except OSError:
        return ""
    return printable(text.replace("\r\n", "\n")).strip()


async def bound_logs(directory: Path, log_bytes: int, exited: trio.Event) -> None:
    """Keep the logs that QEMU writes within ``log_bytes`` each, until it has exited."""
    while not exited.is_set():
        with trio.move_on_after(WATCH_INTERVAL_S):
            await exited.wait()
        for name in WATCHED:
            rotate(directory / name, log_bytes)


def rotate(log: Path, log_bytes: int) -> None:
    """Move a log that has outgrown its half to the older generation, whoever is writing it."""
    half = log_bytes // 2
    with suppress(FileNotFoundError), log.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size > half:
            file.seek(size - half)
            with open(older_generation(log), "wb", opener=private_file) as older:
                older.write(file.read(half))
            file.truncate(0)


class BoundedLog:
    """A log that only we write; use it as a context manager. Raises OSError on a full disk."""

    def __init__(self, path: Path, log_bytes: int) -> None:
        self._path = path
        self._log_bytes = log_bytes
        self._file = open(path, "ab", opener=private_file)  # noqa: SIM115 - closed by __exit__
        self._size = self._file.tell()

    def __enter__(self) -> "BoundedLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, line: str) -> None:
        """Append one line."""
        data = printable(line).encode() + b"\n"
        if self._size + len(data) > self._log_bytes // 2:
            rotate(self._path, self._log_bytes)
            self._size = 0
        self._size += len(data)
        self._file.write(data)
        self._file.flush()
