"""The log: what happened, and what happens. Every event once and in order, whatever breaks off."""

import datetime
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypedDict, Unpack

from chronovisor_api import v1
from chronovisor_api.calls import Calls
from chronovisor_api.failures import Silence, Unreachable
from chronovisor_api.patience import Wait


class Which(TypedDict, total=False):
    """Which events are wanted; what is left out chooses nothing.

    ``after`` is a position, ``since`` a moment in its place; ``log_id`` is the log that ``after``
    counts in. ``stream`` is ``host``, ``vm/ID`` or ``artifact/SHA256``, and ``vm_id`` the VM's.
    Of ``types`` and ``outcomes`` an event must have one.
    """

    after: int
    since: datetime.datetime
    log_id: str
    stream: str
    vm_id: str | None
    types: Sequence[str]
    outcomes: Sequence[v1.Outcome]


class Events(Calls):
    """The log as a client reads it.

    To go on in another process, keep the position and the log's id of the last event: with both,
    another log in the same place is refused instead of being mistaken for this one.
    """

    async def watch(self, **which: Unpack[Which]) -> AsyncGenerator[v1.Event, None]:
        """Yield every event once and in order: those in the log, then new ones.

        It goes on where it was when the daemon comes back.
        """
        async with aclosing(self._messages(which)) as messages:
            async for message in messages:
                if message.event is not None:
                    yield message.event

    async def history(self, **which: Unpack[Which]) -> AsyncGenerator[v1.Event, None]:
        """Yield every event that is in the log now, once and in order."""
        async with aclosing(self._messages(which)) as messages:
            async for message in messages:
                if message.caught_up is not None:
                    return
                if message.event is not None:
                    yield message.event

    async def log(self) -> v1.Log:
        """Read which log this is, how long, and a signature over what it holds by now."""
        return await self._answer(self.supervisor.get_log, v1.GetLogRequest())

    async def _messages(self, which: Which) -> AsyncGenerator[v1.WatchEventsResponse, None]:
        """Yield what a watch says, and go on after what was seen last when it breaks off."""
        request, wait = _request(**which), Wait(self._patience)
        while True:
            watch = self._stream(self.supervisor.watch_events(request))
            try:
                async with aclosing(watch) as messages:
                    async for message in messages:
                        wait.answered()
                        request = _rest(request, message)
                        yield message
                raise Unreachable(self._target, Silence.BROKEN_OFF, "the watch ended")
            except Unreachable as away:
                await wait.after(away)


def _request(
    *,
    after: int = 0,
    since: datetime.datetime | None = None,
    log_id: str | None = None,
    stream: str | None = None,
    vm_id: str | None = None,
    types: Sequence[str] = (),
    outcomes: Sequence[v1.Outcome] = (),
) -> v1.WatchEventsRequest:
    return v1.WatchEventsRequest(
        after=after,
        since=since,
        log_id=log_id,
        stream=stream,
        vm_id=vm_id,
        types=[*types],
        outcomes=[*outcomes],
    )


def _rest(request: v1.WatchEventsRequest, message: v1.WatchEventsResponse) -> v1.WatchEventsRequest:
    """Return what is still to be asked for after ``message``."""
    seen = message.event or message.caught_up or message.bookmark
    if seen is None:
        return request
    return replace(request, after=seen.position, log_id=seen.log_id, since=None)
