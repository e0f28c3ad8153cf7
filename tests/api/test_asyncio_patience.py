"""A coroutine of asyncio may wait for so long: with a clock that is set only where it waits."""

import asyncio

import pytest

from supervisor.api.asyncio_patience import at_most

GUARD_S = 120


async def answer(came: "asyncio.Future[str]") -> str:
    try:
        return await came + await came
    except asyncio.CancelledError:
        tidied = asyncio.Event()
        asyncio.get_running_loop().call_soon(tidied.set)
        await tidied.wait()  # it may still clean up
        raise


def test_what_comes_in_time_is_returned_whether_or_not_it_was_waited_for() -> None:
    async def run() -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        there, later = loop.create_future(), loop.create_future()
        there.set_result("a")
        loop.call_soon(later.set_result, "b")
        return await at_most(0, answer(there)), await at_most(GUARD_S, answer(later))

    assert asyncio.run(run()) == ("aa", "bb")


def test_what_does_not_come_is_given_up() -> None:
    async def run() -> None:
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(GUARD_S):
            with pytest.raises(TimeoutError):
                await at_most(0.001, answer(never))
        assert never.cancelled()

    asyncio.run(run())


def test_an_error_and_a_cancellation_are_passed_on() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        broken, never = loop.create_future(), loop.create_future()
        loop.call_soon(broken.set_exception, OSError("broken"))
        with pytest.raises(OSError, match="broken"):
            await at_most(GUARD_S, answer(broken))
        begun = asyncio.Event()

        async def begin() -> str:
            begun.set()
            return await answer(never)

        waiting = asyncio.ensure_future(at_most(GUARD_S, begin()))
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())
