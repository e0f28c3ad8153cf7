"""Whether confidential guests can run here. A host without them is well, too."""

from collections.abc import Iterator
from functools import partial

import trio

from supervisor.cannot_serve import CannotServe
from supervisor.config import Config
from supervisor.doctor.finding import Finding, ok
from supervisor.host.facts import read_facts
from supervisor.host.platform import Platform, read_platform
from supervisor.host.qemu_user import choose_user


def look_at_sev(config: Config) -> Iterator[Finding]:
    """Yield what the secure processor says, if there is one."""
    qemu = read_facts().qemu
    if not qemu:
        return
    try:
        user = choose_user(config.qemu_user)
    except CannotServe:  # which is a finding of its own
        return
    found = trio.run(partial(read_platform, qemu, user))
    if isinstance(found, Platform):
        yield ok("SEV", "the secure processor answers; chronovisor sev platform tells more")
    else:
        yield ok("SEV", f"no confidential guests here: {found.why}")
