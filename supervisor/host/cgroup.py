"""A cgroup v2 directory for each QEMU, below the daemon's own, where the system delegated that.

Linux, Documentation/admin-guide/cgroup-v2.rst. A cgroup with limits for its children may hold no
process itself, so the daemon moves into a leaf beside them:

    DELEGATED/daemon/             the daemon
    DELEGATED/vm-<vm_id>-<n>/     one QEMU

They stay as they are when the daemon ends. Nothing here touches a cgroup that others use.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from supervisor.vm.bounds import QemuBounds

LEAF = "daemon"
"""systemd starts the daemon in it where the unit says DelegateSubgroup=daemon."""
PREFIX = "vm-"
CONTROLLERS = ("memory", "pids", "cpu")
PERIOD_US = 100_000
"""The kernel's default for cpu.max."""
PROCS = "cgroup.procs"
CHILD_CONTROLLERS = "cgroup.subtree_control"
LIMIT_FILES = ("memory.max", "pids.max", "cpu.max")
NO_HIERARCHY = "this host has no cgroup v2 hierarchy"


class NoCgroups(Exception):
    """Cgroups cannot be used here; the message says why."""


class Place(msgspec.Struct, frozen=True):
    """Where the cgroup v2 hierarchy is mounted, and the path in it of a process's cgroup."""

    mount: Path
    path: str

    @property
    def directory(self) -> Path:
        return self.mount / self.path.lstrip("/")


class Cgroups:
    """The cgroups of this daemon's QEMUs, under one delegated directory."""

    def __init__(self, delegated: Path, controllers: tuple[str, ...]) -> None:
        self._delegated = delegated
        self._controllers = controllers

    def make(self, name: str, bounds: QemuBounds) -> Path:
        """Make the cgroup of a launch; return the file that a process enters it by.

        Raises OSError.
        """
        directory = self._delegated / f"{PREFIX}{name}"
        directory.mkdir(exist_ok=True)
        for file, value in limits(bounds).items():
            if file.partition(".")[0] in self._controllers:
                (directory / file).write_text(value, encoding="ascii")
        return directory / PROCS

    def remove(self, name: str) -> None:
        """Remove the cgroup of a launch that is over; one that is not empty stays."""
        with suppress(OSError):
            (self._delegated / f"{PREFIX}{name}").rmdir()

    def sweep(self) -> None:
        """Remove what launches left that ended unseen."""
        for directory in self._delegated.glob(f"{PREFIX}*"):
            with suppress(OSError):
                directory.rmdir()


def limits(bounds: QemuBounds) -> dict[str, str]:
    """Return the limits as the kernel takes them, by file."""
    return {
        "memory.max": str(bounds.memory_bytes),
        "pids.max": str(bounds.tasks),
        "cpu.max": f"{bounds.cpus * PERIOD_US} {PERIOD_US}",
    }


def claim_cgroups(place: Place, pid: int) -> Cgroups:
    """Take over the cgroup that this daemon was started in. Raises NoCgroups."""
    own = place.directory
    delegated = own.parent if own.name == LEAF else own
    try:
        offered = (delegated / "cgroup.controllers").read_text(encoding="ascii").split()
        controllers = tuple(name for name in CONTROLLERS if name in offered)
        if not controllers:
            raise NoCgroups("no memory, pids or cpu controller is delegated to this daemon")
        _make_room(delegated, pid)
        wanted = " ".join(f"+{name}" for name in controllers)
        (delegated / CHILD_CONTROLLERS).write_text(wanted, encoding="ascii")
    except OSError as error:
        raise NoCgroups(f"{delegated} is not delegated to this daemon: {error.strerror}") from None
    cgroups = Cgroups(delegated, controllers)
    cgroups.sweep()
    return cgroups


def _make_room(delegated: Path, pid: int) -> None:
    """Leave the delegated cgroup for its leaf; others that are in it mean that it is not ours."""
    there = _processes(delegated)
    if there - {pid}:
        raise NoCgroups(f"{delegated} holds other processes as well: it is not this daemon's own")
    if there:
        (delegated / LEAF).mkdir(exist_ok=True)
        (delegated / LEAF / PROCS).write_text(str(pid), encoding="ascii")


def _processes(directory: Path) -> set[int]:
    return {int(word) for word in (directory / PROCS).read_text(encoding="ascii").split()}


def find_place(proc: Path, pid: int) -> Place:
    """Return the cgroup of a process. Raises NoCgroups, also when it is gone."""
    try:
        hierarchy = _hierarchy(proc)
        groups = (proc / str(pid) / "cgroup").read_text(errors="surrogateescape")
    except OSError as error:
        raise NoCgroups(f"the process's cgroup cannot be read: {error.strerror}") from None
    paths = [line[3:] for line in groups.splitlines() if line.startswith("0::")]
    if not paths:
        raise NoCgroups(NO_HIERARCHY)
    return Place(hierarchy, paths[0])


@cache
def _hierarchy(proc: Path) -> Path:
    """Return where cgroups are mounted, which the host does not change while we run."""
    mounts = (proc / "self" / "mountinfo").read_text(errors="surrogateescape")
    # proc_pid_mountinfo(5): the mount point is the fifth word, the type follows a lone hyphen.
    points = [line.split()[4] for line in mounts.splitlines() if " - cgroup2 " in line]
    if not points:
        raise NoCgroups(NO_HIERARCHY)
    return Path(points[0])


def limits_in_force(place: Place) -> tuple[str, ...]:
    """Return the limits of a cgroup that are set, each as a word and its value."""
    found = []
    for file in LIMIT_FILES:
        with suppress(OSError):
            value = (place.directory / file).read_text(encoding="ascii").strip()
            if value.split()[0] != "max":
                found.append(f"{file} {value}")
    return tuple(found)
