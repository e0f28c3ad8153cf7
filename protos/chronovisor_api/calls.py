"""One connection to the daemon, and how everything is asked over it.

What is safe to repeat is repeated while the daemon is away: submissions carry an idempotency key,
uploads a digest, watches the position that was seen last. What is not is sent once.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from copy import copy
from types import TracebackType
from typing import Self, TypeVar

from chronovisor_api import v1
from chronovisor_api.channel import KEEPALIVE_SECONDS, connect
from chronovisor_api.failures import NEVER_MET, Silence, Unreachable, told_apart
from chronovisor_api.patience import PATIENCE_SECONDS, Patience, Wait

ANSWER_SECONDS = 30.0
"""The deadline of a call that reads or changes one thing. The daemon answers within milliseconds;
an fsync on a disk that drowns in work takes seconds."""

ALWAYS = frozenset(Silence)

T = TypeVar("T")


class Calls:
    """A connection; ``async with`` opens and closes it. What is asked is in the classes below."""

    supervisor: v1.SupervisorStub

    def __init__(
        self,
        target: str,
        token: str | None = None,
        *,
        patience_s: float = PATIENCE_SECONDS,
        first_patience_s: float | None = None,
        keepalive_s: float = KEEPALIVE_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._target = target
        self._token = token
        self._keepalive_s = keepalive_s
        self._tls = tls
        coming = patience_s if first_patience_s is None else first_patience_s
        self._patience = Patience(patience_s, coming)

    async def __aenter__(self) -> Self:
        """Make ready to connect, which the first call does. Raises MalformedTarget."""
        self._channel = connect(
            self._target, self._token, tls=self._tls, keepalive_s=self._keepalive_s
        )
        self.supervisor = v1.SupervisorStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._channel.close()
        await asyncio.sleep(0)  # a transport closes in the next turn of its loop

    def at_once(self) -> Self:
        """Return the same open connection for calls that are made once and wait for no daemon."""
        other = copy(self)
        other._patience = Patience(0, 0)
        return other

    async def _answer(
        self,
        method: Callable[..., Awaitable[T]],
        request: object,
        *,
        seconds: float = ANSWER_SECONDS,
        again_after: frozenset[Silence] = ALWAYS,
    ) -> T:
        async def call() -> T:
            with told_apart(self._target):
                return await method(request, timeout=seconds)

        return await self._repeat(call, again_after)

    async def _answer_to_one(self, method: Callable[..., Awaitable[T]], request: object) -> T:
        """Ask for what would happen twice if the daemon were asked twice."""
        return await self._answer(method, request, again_after=NEVER_MET)

    async def _repeat(
        self, call: Callable[[], Awaitable[T]], again_after: frozenset[Silence] = ALWAYS
    ) -> T:
        wait = Wait(self._patience)
        while True:
            try:
                return await call()
            except Unreachable as away:
                if away.silence not in again_after:
                    raise
                await wait.after(away)

    async def _stream(self, messages: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """Yield the messages; what goes wrong with the one who takes them is not told apart."""
        try:
            while True:
                try:
                    with told_apart(self._target):
                        message = await anext(messages)
                except StopAsyncIteration:
                    return
                yield message
        finally:
            if isinstance(messages, AsyncGenerator):
                await messages.aclose()
