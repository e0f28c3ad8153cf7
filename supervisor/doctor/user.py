"""Who QEMU would run as, and whether that is somebody who owns nothing."""

import os
from collections.abc import Iterator

from supervisor.cannot_serve import CannotServe
from supervisor.config import QEMU_OWN_USER, QEMU_SHARED_USER, Config
from supervisor.doctor.finding import Finding, fault, ok, warning
from supervisor.host.qemu_user import MAKE_USER, choose_user

SUBJECT = "QEMU's user"
MAKE_IT = f"{MAKE_USER} {QEMU_OWN_USER}"


def look_at_user(config: Config) -> Iterator[Finding]:
    """Yield who QEMU would run as."""
    try:
        user = choose_user(config.qemu_user)
    except CannotServe as why:
        says, _, fix = str(why).rpartition("; ")
        yield fault(SUBJECT, says, fix)
        return
    if user is None and os.geteuid() == 0:
        says = "QEMU would run as root: whoever breaks out of a guest owns this host"
        yield warning(SUBJECT, says, f"{MAKE_IT}, and set qemu_user")
    elif user is None:
        yield ok(SUBJECT, "QEMU runs as whoever runs the daemon")
    elif user.name == QEMU_SHARED_USER:
        yield warning(SUBJECT, f"QEMU would run as {user.name}, which others share", MAKE_IT)
    else:
        yield ok(SUBJECT, f"QEMU runs as {user.name}")
