"""Filesystems in files: made, put behind a loop device, mounted, and always taken down again."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from chronovisor_crash.recording_disk import DISK

_SECONDS = 60
"""No command here takes a second; one that hangs must not hang the harness."""

_ATTEMPTS = 2400
_ATTEMPT_SECONDS = 0.025
PACKAGE_DIRECTORY = Path(__file__).resolve().parents[1]


class Filesystem(msgspec.Struct, frozen=True):
    """One kind: how it is made and mounted, and the least size that it takes."""

    name: str
    mkfs: tuple[str, ...]
    size: int
    options: str

    @property
    def missing(self) -> str:
        """Why it cannot be had here; empty where it can."""
        if shutil.which(self.mkfs[0]) is None:
            return f"{self.mkfs[0]} is not installed"
        known = Path("/proc/filesystems").read_text().split()
        return "" if self.name in known else f"the kernel has no {self.name}"


FILESYSTEMS = (
    Filesystem("ext4", ("mkfs.ext4", "-q", "-F", "-J", "size=4"), 24 << 20, "nodiscard"),
    Filesystem("xfs", ("mkfs.xfs", "-q", "-f", "-K"), 300 << 20, "nouuid,nodiscard"),
)


class CommandFailed(Exception):
    """A system tool did not do what it should; the message is its own."""


def why_not_here() -> str:
    """What this host lacks for recording a disk; empty where it lacks nothing."""
    if os.geteuid() != 0:
        return "it needs root"
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        return "/dev/fuse or /dev/loop-control is missing"
    if shutil.which("losetup") is None:
        return "losetup is not installed"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed (pip install 'chronovisor[crash]')"
    lacking = [filesystem.missing for filesystem in FILESYSTEMS]
    return "; ".join(lacking) if all(lacking) else ""


def make(filesystem: Filesystem, image: Path) -> None:
    """A fresh filesystem in a sparse file."""
    with image.open("wb") as file:
        file.truncate(filesystem.size)
    command(*filesystem.mkfs, str(image))


@contextmanager
def mounted(filesystem: Filesystem, image: Path, where: Path) -> Iterator[Path]:
    """Mounted through a loop device while the block runs. Raises CommandFailed."""
    device = command("losetup", "--find", "--show", str(image)).strip()
    try:
        command("mount", "-t", filesystem.name, "-o", filesystem.options, device, str(where))
        try:
            yield where
        finally:
            command("umount", str(where))
    finally:
        command("losetup", "--detach", device)


@contextmanager
def recorded(image: Path, trace: Path, where: Path) -> Iterator[Path]:
    """The path of a file that shows the image, with every write and flush noted in the trace."""
    server = subprocess.Popen(
        [sys.executable, "-m", "chronovisor_crash.recording_disk", where, image, trace],
        cwd=PACKAGE_DIRECTORY,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with server:
        try:
            _wait_for_mount(server, where)
            yield where / DISK
        finally:
            if where.is_mount():
                command("umount", str(where))
            else:
                server.kill()
            server.wait(_SECONDS)


def command(*argv: str) -> str:
    """Run a system tool; what it printed. Raises CommandFailed."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{argv[0]} took more than {_SECONDS} s") from error
    if done.returncode != 0:
        raise CommandFailed(f"{argv[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def _wait_for_mount(server: "subprocess.Popen[bytes]", where: Path) -> None:
    for _ in range(_ATTEMPTS):
        if where.is_mount():
            return
        try:
            server.wait(_ATTEMPT_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        assert server.stderr is not None
        said = server.stderr.read().decode(errors="replace").strip()
        raise CommandFailed(f"the recording disk did not start: {said}")
    raise CommandFailed("the recording disk was not mounted in time")
