"""The daemon as seen from a command: calls that block, streams that are plain iterators.

The only module of the command line that knows of asyncio. The loop runs only while a command waits
for the daemon, so a reader of our output that stalls makes us stop reading, and the daemon sees it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import chronovisor_api
from chronovisor_api import v1
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from supervisor.cli.exits import OF_STATUS, Disconnected, ExitCode, Failure, Unreachable
from supervisor.cli.options import Access

ANSWER_SECONDS = 30.0
"""For a call that reads or changes one thing. The daemon answers within milliseconds; an fsync on
a disk that drowns in work takes seconds."""

RETURN_SECONDS = 60.0
"""How long a call that may be repeated waits for a daemon that went away: a restart with a long log
takes seconds."""

RETRY_SECONDS = 0.5
"""Between two tries; a try costs next to nothing."""

T = TypeVar("T")


class Daemon:
    """A daemon that can be called; made by :func:`reach`. Every method raises :class:`Failure`."""

    def __init__(self, runner: asyncio.Runner, stub: v1.SupervisorStub, access: Access) -> None:
        self.stub = stub
        self._runner = runner
        self._access = access

    def call(
        self,
        method: Callable[..., Awaitable[T]],
        request: object,
        *,
        seconds: float | None = ANSWER_SECONDS,
    ) -> T:
        """Call once and return the answer; ``seconds`` is the deadline, None for no deadline."""

        async def answer() -> T:
            return await method(request, timeout=seconds)

        with _failures(self._access):
            return self._runner.run(answer())

    def repeat(self, method: Callable[..., Awaitable[T]], request: object) -> T:
        """Call, and call again while the connection breaks off: for requests safe to repeat."""
        give_up = time.monotonic() + RETURN_SECONDS
        failure: type[Failure] = Disconnected
        while True:
            try:
                return self.call(method, request)
            except failure:
                if time.monotonic() > give_up:
                    raise
            failure = Unreachable
            time.sleep(RETRY_SECONDS)

    def stream(self, method: Callable[..., AsyncIterator[T]], request: object) -> Iterator[T]:
        """Yield what the daemon sends, as fast as it is taken."""
        messages = method(request)

        async def following() -> T | None:
            return await anext(messages, None)

        async def close() -> None:
            if isinstance(messages, AsyncGenerator):
                await messages.aclose()

        try:
            while True:
                with _failures(self._access):
                    message = self._runner.run(following())
                if message is None:
                    return
                yield message
        finally:
            self._runner.run(close())


@contextmanager
def reach(access: Access) -> Iterator[Daemon]:
    """Yield the daemon; the connection is made by the first call and closed at the end."""

    async def channel() -> Channel:
        return chronovisor_api.connect(access.target, access.token())

    with asyncio.Runner() as runner:
        try:
            opened = runner.run(channel())
        except chronovisor_api.MalformedTarget as error:
            raise Failure(ExitCode.USAGE, str(error)) from None
        try:
            yield Daemon(runner, v1.SupervisorStub(opened), access)
        finally:
            opened.close()
            runner.run(asyncio.sleep(0))  # a transport closes in the next turn of its loop


@contextmanager
def _failures(access: Access) -> Iterator[None]:
    """Turn every way in which a call fails into one that says what to do."""
    try:
        yield
    except GRPCError as error:
        raise _refusal(error) from None
    except TimeoutError:
        raise Unreachable(f"the daemon at {access.target} did not answer in time") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unreachable(
            f"no daemon answers at {access.target}: "
            f"start one with `chronovisor serve --state-dir {access.state_dir}`"
        ) from None
    except (StreamTerminatedError, ProtocolError, ConnectionError) as error:
        raise _broken_off(access, str(error)) from None
    except AttributeError as error:
        # grpclib's connection loses this attribute when it is closed while a call begins.
        if error.name != "_transport":
            raise
        raise _broken_off(access, "it was closed at once") from None
    except OSError as error:
        raise Unreachable(f"cannot reach {access.target}: {error.strerror or error}") from None


def _broken_off(access: Access, why: str) -> Disconnected:
    return Disconnected(
        f"the connection to the daemon at {access.target} broke off ({why or 'lost'}): "
        "look at the daemon's own output, and try again"
    )


def _refusal(error: GRPCError) -> Failure:
    message = error.message or f"the daemon answered {error.status.name}"
    if error.status is Status.UNAVAILABLE:
        return Unreachable(message)
    return Failure(OF_STATUS[error.status], message)
