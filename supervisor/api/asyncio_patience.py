"""How long a coroutine of asyncio may wait."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def at_most(seconds: float, task: Coroutine[Any, Any, T]) -> T:
    """Return what comes of it. Raises TimeoutError.

    The clock is set when there is something to wait for, which for most messages there is not:
    they are there already, and setting a clock is a good part of what taking one costs.
    """
    try:
        waits_for = task.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _resumed(task, waits_for)


@coroutine
def _resumed(task: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has already said what it waits for."""
    while True:
        try:
            try:
                came = yield waits_for
            except BaseException as error:  # such as the timeout, or that nobody wants it any more
                waits_for = task.throw(error)
            else:
                waits_for = task.send(came)
        except StopIteration as done:
            result: T = done.value
            return result
