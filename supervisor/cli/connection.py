"""The public client as seen from a command: calls that block, streams that are plain iterators.

The only module of the command line that knows of asyncio. The loop runs only while a command waits
for the daemon, so a reader of our output that stalls makes us stop reading, and the daemon sees it.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import chronovisor_api
from chronovisor_api import Client, Silence

from supervisor.cli.exits import OF_STATUS, ExitCode, Failure, Unreachable
from supervisor.cli.options import Access

T = TypeVar("T")

ADVICE = {
    Silence.ABSENT: "no daemon answers at {target}: "
    "start one with `chronovisor serve --state-dir {state_dir}`",
    Silence.BARRED: "cannot reach {target}: {why}",
    Silence.LATE: "the daemon at {target} did not answer in time",
    Silence.DECLINED: "{why}",
    Silence.HUNG_UP: "{target} hung up before it said a word: {hint}",
    Silence.BROKEN_OFF: "the connection to the daemon at {target} broke off ({why}): "
    "look at the daemon's own output, and try again",
}


class Daemon:
    """A daemon that can be called; made by :func:`reach`. Every method raises :class:`Failure`.

    ``client`` asks once. ``patient`` waits for a daemon that goes away in the middle of something,
    but not for one that was never there: whoever sits before a terminal wants to hear of it.
    """

    def __init__(self, runner: asyncio.Runner, patient: Client, access: Access) -> None:
        self.client = patient.at_once()
        self.patient = patient
        self._runner = runner
        self._access = access

    def call(self, answer: Coroutine[Any, Any, T], *, within_s: float | None = None) -> T:
        """Return what a method of the client answers. Raises TimeoutError after ``within_s``."""
        with _failures(self._access):
            return self._runner.run(asyncio.wait_for(answer, within_s))

    def stream(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what a method of the client yields, as fast as it is taken."""

        async def following() -> T | None:
            return await anext(items, None)

        try:
            while (item := self.call(following())) is not None:
                yield item
        finally:
            self._runner.run(_close(items))


async def _close(items: AsyncGenerator[T, None]) -> None:
    await items.aclose()


@contextmanager
def reach(access: Access) -> Iterator[Daemon]:
    """Yield the daemon; the connection is made by the first call and closed at the end."""
    client = Client(access.target, access.token(), first_patience_s=0, tls=access.tls())
    with asyncio.Runner() as runner:
        try:
            runner.run(client.__aenter__())
        except chronovisor_api.MalformedTarget as error:
            raise Failure(ExitCode.USAGE, str(error)) from None
        try:
            yield Daemon(runner, client, access)
        finally:
            runner.run(client.__aexit__(None, None, None))


@contextmanager
def _failures(access: Access) -> Iterator[None]:
    """Turn every way in which a call fails into one that says what to do."""
    try:
        yield
    except chronovisor_api.Refused as refused:
        raise Failure(OF_STATUS[refused.status], str(refused)) from None
    except chronovisor_api.Unreachable as away:
        told = ADVICE[away.silence].format(
            target=access.target, state_dir=access.state_dir, why=away.why, hint=_hint(access)
        )
        raise Unreachable(told) from None
    except chronovisor_api.Unreadable as unreadable:
        raise Failure(ExitCode.USAGE, str(unreadable)) from None
    except chronovisor_api.Damaged as damaged:
        raise Failure(ExitCode.HOST_TROUBLE, str(damaged)) from None


def _hint(access: Access) -> str:
    """Return why a daemon may want to hear nothing of this client."""
    if access.target.startswith("unix:"):
        return "look at the daemon's own output, and try again"
    if access.tls_cert is not None:
        return f"its own log says whether it takes {access.tls_cert}"
    if access.tls_ca is not None:
        return "if it asks clients for a certificate, name --tls-cert and --tls-key"
    return "if it speaks TLS, name --tls-ca"
