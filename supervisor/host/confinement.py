"""What every QEMU is put into before it runs, and what the kernel says of it once it does.

A user of its own where the daemon is root, resource limits everywhere, a cgroup where there can be
one. All of it is in force before QEMU's first instruction (:mod:`supervisor.host.launcher`).
"""

import logging
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from supervisor.host.cgroup import Cgroups, NoCgroups, claim_cgroups, find_place, limits_in_force
from supervisor.host.qemu_user import QemuUser, choose_user
from supervisor.vm.bounds import QemuBounds
from supervisor.vm.observations import Containment

logger = logging.getLogger(__name__)

PROC = Path("/proc")
USER_TASKS = 16_384
"""Of all QEMUs together, where they have a user of their own: 200 with a full pool of threads each.
It keeps them from taking every PID of the host, as which other programs would starve."""
SHOWN_LIMITS = {
    "Max core file size": "RLIMIT_CORE",
    "Max data size": "RLIMIT_DATA",
    "Max file size": "RLIMIT_FSIZE",
    "Max locked memory": "RLIMIT_MEMLOCK",
    "Max open files": "RLIMIT_NOFILE",
    "Max processes": "RLIMIT_NPROC",
}
"""By their names in ``/proc/PID/limits``, which needs no privilege to read, as prlimit(2) would."""
LIMIT_NAME_WIDTH = 26


class Confinement:
    """How the QEMUs of one daemon are held."""

    def __init__(self, user: QemuUser | None = None, cgroups: Cgroups | None = None) -> None:
        self.user = user
        self._cgroups = cgroups

    def orders(self, name: str, bounds: QemuBounds) -> tuple[str, ...]:
        """Return the launcher's orders for the QEMU of this name; its cgroup is made.

        Raises OSError.
        """
        limits = resource_limits(bounds) | ({"RLIMIT_NPROC": USER_TASKS} if self.user else {})
        return (
            *((f"cgroup={self._cgroups.make(name, bounds)}",) if self._cgroups else ()),
            *(f"limit={limit}:{most}" for limit, most in limits.items()),
            *((_become(self.user),) if self.user else ()),
        )

    def let_go(self, name: str) -> None:
        """Remove what held a QEMU that is gone."""
        if self._cgroups:
            self._cgroups.remove(name)


def resource_limits(bounds: QemuBounds) -> dict[str, int]:
    """Return the limits of setrlimit(2) that hold on every host.

    There is none on address space: what QEMU maps without using it depends on the host (see
    docs/containment.md).
    """
    return {
        "RLIMIT_CORE": 0,  # a dump would hold the guest's memory
        "RLIMIT_DATA": bounds.data_bytes,
        "RLIMIT_FSIZE": bounds.file_bytes,
        "RLIMIT_MEMLOCK": bounds.locked_bytes,
        "RLIMIT_NOFILE": bounds.open_files,
    }


def confine(qemu_user: str | None) -> Confinement:
    """Return how QEMUs are held on this host, from what it offers. Raises CannotServe."""
    user = choose_user(qemu_user)
    pid = os.getpid()
    try:
        return Confinement(user, claim_cgroups(find_place(PROC, pid), pid))
    except NoCgroups as reason:
        logger.info("QEMUs are bounded by resource limits and not by cgroups: %s", reason)
        return Confinement(user)


def containment_of(pid: int) -> Containment | None:
    """Return what holds a running process; None where it is gone."""
    try:
        user = _user_name((PROC / str(pid)).stat().st_uid)
        limits = tuple(_limits((PROC / str(pid) / "limits").read_text(encoding="ascii")))
    except OSError:
        return None
    try:
        place = find_place(PROC, pid)
    except NoCgroups:
        return Containment(user, "", limits)
    grouped = limits_in_force(place)
    return Containment(user, place.path if grouped else "", (*grouped, *limits))


def _become(user: QemuUser) -> str:
    return f"user={user.uid}:{user.gid}:{','.join(map(str, user.groups))}"


def _limits(table: str) -> Iterator[str]:
    for line in table.splitlines():
        if name := SHOWN_LIMITS.get(line[:LIMIT_NAME_WIDTH].rstrip()):
            yield f"{name} {line[LIMIT_NAME_WIDTH:].split()[0]}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"
