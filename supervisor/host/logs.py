"""Logs of a launch, each bounded: the newest part, and one older generation beside it.

Together the two generations hold at most ``log_bytes``, and half of that is always the newest.
The logs of QEMU and of its console are open in QEMU for appending, so they cannot be renamed; what
is in them is copied and they are cut to nothing, which appending survives. While no daemon watches,
QEMU's limit on file size bounds them (:mod:`supervisor.vm.bounds`).
"""

import os
from contextlib import suppress
from io import FileIO
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
    """Return the end of a log, over both generations, as printable text."""
    ends = _end_of(older_generation(log), limit_bytes) + _end_of(log, limit_bytes)
    text = ends[-limit_bytes:].decode(errors="replace")
    return printable(text.replace("\r\n", "\n")).strip()


def _end_of(log: Path, limit_bytes: int) -> bytes:
    try:
        with open(log, "rb", opener=private_file) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit_bytes))
            return file.read(limit_bytes)
    except OSError:
        return b""


async def bound_logs(directory: Path, log_bytes: int, exited: trio.Event) -> None:
    """Keep the logs that QEMU writes within ``log_bytes`` each, until it has exited."""
    while not exited.is_set():
        with trio.move_on_after(WATCH_INTERVAL_S):
            await exited.wait()
        for name in WATCHED:
            rotate(directory / name, log_bytes)


def rotate(log: Path, log_bytes: int) -> None:
    """Begin a new generation of a log that has outgrown its half, whoever is writing it."""
    with suppress(OSError):
        if log.lstat().st_size > log_bytes // 2:
            begin_generation(log, log_bytes // 2)


def begin_generation(log: Path, keep_bytes: int) -> None:
    """Empty a log; its newest part becomes the older generation. Raises OSError.

    On a full disk the older generation is what is lost; the bound holds all the same.
    """
    with open(log, "r+b", opener=private_file) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - keep_bytes))
        try:
            with open(older_generation(log), "wb", opener=private_file) as older:
                older.write(file.read(keep_bytes))
        finally:
            file.truncate(0)


class BoundedLog:
    """A log that only we write; use it as a context manager.

    It is opened for its first line, and where that fails, as on a host without descriptors, for the
    next one.
    """

    def __init__(self, path: Path, log_bytes: int) -> None:
        self._path = path
        self._log_bytes = log_bytes
        self._size = 0
        self._file: FileIO | None = None

    def __enter__(self) -> "BoundedLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, line: str) -> None:
        """Append one line, or none on a full disk: a log must not end a computation."""
        data = printable(line).encode() + b"\n"
        with suppress(OSError):
            self._file = self._file or self._open()
            if self._size + len(data) > self._log_bytes // 2:
                self._size = 0
                begin_generation(self._path, self._log_bytes // 2)
            self._size += self._file.write(data)

    def _open(self) -> FileIO:
        # Unbuffered, so that what a full disk refuses is not tried again.
        file = open(self._path, "ab", buffering=0, opener=private_file)  # noqa: SIM115
        self._size = file.tell()
        return file
