"""Watching the log through the daemon, across restarts of the daemon."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from chronovisor_api import v1

from supervisor.cli.connection import RETRY_SECONDS, RETURN_SECONDS, Daemon
from supervisor.cli.exits import Unreachable
from supervisor.vm import events as ev

END_TYPES = frozenset(ev.TAGS[kind] for kind in (ev.VmStopped, ev.VmFailed, ev.VmDeleted))
"""After any of these a VM has no process, and its outcome is known, until it is started again."""


def history(
    daemon: Daemon, *, after: int = 0, vm_id: str | None = None, types: Sequence[str] = ()
) -> Iterator[v1.Event]:
    """Yield the events that are in the log now."""
    request = v1.WatchEventsRequest(after=after, vm_id=vm_id, types=list(types))
    for message in daemon.stream(daemon.stub.watch_events, request):
        if message.event is None:
            return
        yield message.event


def follow(
    daemon: Daemon, *, after: int = 0, vm_id: str | None = None, types: Sequence[str] = ()
) -> Iterator[v1.Event]:
    """Yield the events that are in the log and those to come.

    A daemon that goes away is waited for; the watch then goes on where it was, in the same log.
    """
    request = v1.WatchEventsRequest(after=after, vm_id=vm_id, types=list(types))
    give_up = 0.0  # a daemon that never answered is not waited for
    while True:
        try:
            for message in daemon.stream(daemon.stub.watch_events, request):
                give_up = math.inf
                seen = message.event or message.caught_up
                if seen is not None:
                    request = replace(request, after=seen.position, log_id=seen.log_id)
                if message.event is not None:
                    yield message.event
        except Unreachable:
            if time.monotonic() > give_up:
                raise
        give_up = min(give_up, time.monotonic() + RETURN_SECONDS)
        time.sleep(RETRY_SECONDS)


def until_ended(daemon: Daemon, vm_id: str) -> Iterator[v1.Event]:
    """Yield the events of one VM from its first to the one that ends it, now that it is over."""
    for event in follow(daemon, vm_id=vm_id):
        yield event
        if event.type in END_TYPES and not _was_started_again(daemon, event, vm_id):
            return


def _was_started_again(daemon: Daemon, end: v1.Event, vm_id: str) -> bool:
    types = (*END_TYPES, ev.TAGS[ev.StartOrdered])
    with suppress(Unreachable):  # whoever waited looks at the VM itself next
        later = history(daemon, after=end.position, vm_id=vm_id, types=types)
        return next(later, None) is not None
    return False
