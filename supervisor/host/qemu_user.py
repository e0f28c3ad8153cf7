"""Who QEMU runs as: not root. Started by anyone else, QEMU runs as whoever runs the daemon."""

import grp
import logging
import os
import pwd
import stat
from contextlib import suppress

import msgspec

from supervisor.cannot_serve import CannotServe
from supervisor.config import QEMU_OWN_USER, QEMU_SHARED_USER

logger = logging.getLogger(__name__)

MAKE_USER = "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin"


class QemuUser(msgspec.Struct, frozen=True):
    """A user other than the daemon's own, with all of its groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    def may(self, wanted: int, status: os.stat_result) -> bool:
        """Return whether a file's mode gives this user ``wanted``, of 4 (read), 2 and 1."""
        if status.st_uid == self.uid:
            shift = 6
        elif status.st_gid in (self.gid, *self.groups):
            shift = 3
        else:
            shift = 0
        return stat.S_IMODE(status.st_mode) >> shift & wanted == wanted


def choose_user(name: str | None) -> QemuUser | None:
    """Return who QEMU is to run as, by name or by default; None for the daemon's own user.

    Raises CannotServe.
    """
    if os.geteuid() != 0:
        _check_own(name)
        return None
    if name is None:
        return _default_user()
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CannotServe(
            f"--qemu-user: there is no user {name!r}; run: {MAKE_USER} {name}"
        ) from None
    if entry.pw_uid == 0:
        logger.warning("QEMU runs as root: whoever breaks out of a guest owns this host")
        return None
    return _user(entry)


def _default_user() -> QemuUser:
    for name in (QEMU_OWN_USER, QEMU_SHARED_USER):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if name == QEMU_SHARED_USER:
            logger.warning(
                "QEMU runs as %s, which other programs share; a user of its own is better: %s %s",
                QEMU_SHARED_USER,
                MAKE_USER,
                QEMU_OWN_USER,
            )
        return _user(entry)
    raise CannotServe(f"QEMU must not run as root; run: {MAKE_USER} {QEMU_OWN_USER}")


def _check_own(name: str | None) -> None:
    if name is None:
        return
    with suppress(KeyError):
        if pwd.getpwnam(name).pw_uid == os.geteuid():  # which may be in no list of users
            return
    raise CannotServe("--qemu-user: only root can run QEMU as another user; leave it out")


def _user(entry: pwd.struct_passwd) -> QemuUser:
    groups = tuple(group.gr_gid for group in grp.getgrall() if entry.pw_name in group.gr_mem)
    return QemuUser(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)
