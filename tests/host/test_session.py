"""The last of a session: what is said late is waited for, but not for ever."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.host.contact import Patience
from supervisor.host.process import Process
from supervisor.host.report import Report
from supervisor.host.session import Session
from supervisor.host.spawn import spawn
from supervisor.vm.effects import Reattach
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.observations import (
    ExitEvidence,
    GuestReady,
    Observation,
    ProcessExited,
    QmpReady,
    ReadyBy,
)

FirstContact = Callable[[Report], Awaitable[None]]

ARGV = ("/bin/true",)
READY = QmpReady(1, "7.2.0")
EXITED = ProcessExited(1, ExitEvidence(exit_code=0))


async def exited_process(directory: Path) -> Process:
    process = spawn(directory, ARGV, "boot")
    await trio.lowlevel.wait_readable(process._pidfd)
    return process


class Attended:
    """A session whose process has exited already, and when it reported what."""

    def __init__(self, directory: Path, process: Process) -> None:
        order = Reattach(1, str(directory), "uuid", process.identity, 4096)
        self._session = Session(order, process, Patience())
        self._began = 0.0
        self._seen: list[tuple[float, Observation]] = []

    async def seen(self, speaker: FirstContact) -> list[tuple[float, Observation]]:
        """Attend to the end; return each observation with its second."""
        self._began = trio.current_time()
        with trio.fail_after(60):
            await self._session.attend(self._report, speaker)
        self._session.process.close()
        return self._seen

    async def _report(self, observation: Observation) -> None:
        self._seen.append((round(trio.current_time() - self._began, 3), observation))


@pytest.fixture
async def attended(tmp_path: Path) -> Attended:
    return Attended(tmp_path, await exited_process(tmp_path))


async def test_last_words_come_before_the_end(
    attended: Attended, autojump_clock: trio.abc.Clock
) -> None:
    async def late(report: Report) -> None:
        with trio.move_on_after(9):
            await trio.sleep_forever()
        await report(READY)

    assert await attended.seen(late) == [(9, READY), (9, EXITED)]


async def test_a_speaker_that_is_stuck_delays_the_end_by_ten_seconds(
    attended: Attended, autojump_clock: trio.abc.Clock
) -> None:
    async def stuck(report: Report) -> None:
        await trio.sleep_forever()

    assert await attended.seen(stuck) == [(10, EXITED)]


async def own_session(directory: Path) -> Session:
    process = await exited_process(directory)
    order = Reattach(1, str(directory), "uuid", process.identity, 4096, OwnAgent())
    return Session(order, process, Patience())


async def test_a_later_wait_for_readiness_takes_the_place_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    session, seen = await own_session(tmp_path), list[Observation]()
    earlier, later = GuestReady(1, ReadyBy.PORT), GuestReady(1, ReadyBy.CONSOLE)

    async def report(observation: Observation) -> None:
        seen.append(observation)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.await_ready, trio.sleep_forever, earlier, report)
            await trio.testing.wait_all_tasks_blocked()
            await session.await_ready(trio.lowlevel.checkpoint, later, report)
    assert seen == [later]
    session.process.close()


async def test_a_guest_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    session, seen = await own_session(tmp_path), list[Observation]()

    async def report(observation: Observation) -> None:
        seen.append(observation)

    async def silent(report: Report) -> None:
        await trio.lowlevel.checkpoint()

    ready = GuestReady(1, ReadyBy.PORT)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.await_ready, trio.sleep_forever, ready, report)
            await session.attend(report, silent)
    assert seen == [EXITED]
    session.process.close()
