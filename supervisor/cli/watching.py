"""Watching a VM to its end, also across restarts of the daemon."""

from collections.abc import Iterator
from contextlib import suppress

from chronovisor_api import v1

from supervisor.cli.connection import Daemon
from supervisor.cli.exits import Unreachable
from supervisor.vm import events as ev

END_TYPES = frozenset(ev.TAGS[kind] for kind in (ev.VmStopped, ev.VmFailed, ev.VmDeleted))
"""After any of these a VM has no process, and its outcome is known, until it is started again."""


def until_ended(daemon: Daemon, vm_id: str) -> Iterator[v1.Event]:
    """Yield the events of one VM from its first to the one that ends it, now that it is over."""
    for event in daemon.stream(daemon.patient.watch(vm_id=vm_id)):
        yield event
        if event.type in END_TYPES and not _was_started_again(daemon, event, vm_id):
            return


def _was_started_again(daemon: Daemon, end: v1.Event, vm_id: str) -> bool:
    types = (*END_TYPES, ev.TAGS[ev.StartOrdered])
    with suppress(Unreachable):  # whoever waited looks at the VM itself next
        history = daemon.client.history(after=end.position, vm_id=vm_id, types=types)
        return next(daemon.stream(history), None) is not None
    return False
