"""What is alive on this host of one state directory, as /proc tells it."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

_UUID = re.compile(rb"\0-uuid\0([0-9a-f-]{36})\0")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Resources(msgspec.Struct, frozen=True):
    """What a process holds: descriptors, and resident memory in bytes."""

    descriptors: int
    resident: int


def launches(state_dir: Path) -> Counter[str]:
    """Count the living QEMUs of each launch, by the UUID that names it."""
    return Counter(uuid for _, uuid in qemus(state_dir))


def qemus(state_dir: Path) -> Iterator[tuple[int, str]]:
    """Yield PID and UUID of every living QEMU of the state directory, zombies left out."""
    needle = os.fsencode(state_dir)
    for pid in _pids():
        command = _read(pid, "cmdline")
        if needle in command and b"qemu" in command.split(b"\0")[0]:
            found = _UUID.search(command)
            yield pid, found[1].decode() if found else ""


def zombies(parent: int) -> list[int]:
    """Return the children of a process that ended and were not reaped."""
    return [pid for pid in _pids() if _stat(pid)[:2] == ("Z", parent)]


def resources(pid: int) -> Resources:
    """Return what a living process holds. Raises OSError where there is none."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return Resources(len(os.listdir(f"/proc/{pid}/fd")), resident)


def entries(directory: Path) -> list[str]:
    """Return every entry below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def _stat(pid: int) -> tuple[str, int]:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return (fields[0].decode(), int(fields[1])) if len(fields) > 1 else ("", 0)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
