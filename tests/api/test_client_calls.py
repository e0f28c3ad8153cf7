"""Every call of the daemon has a method of the Python client, and it says what it is told."""

import base64
import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import chronovisor_api
import msgspec
import pytest
import trio
from chronovisor_api import Client, Transcript, v1

from supervisor.vm.commands import (
    ApproveLaunch,
    Command,
    Delete,
    Kill,
    Pause,
    RejectLaunch,
    Reset,
    Resume,
    Start,
    Stop,
)
from supervisor.vm.state import Phase
from tests.api.conftest import Served
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.test_client import submitted, unix, use

MEASUREMENT = bytes(range(48))
LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)


def test_every_call_has_a_method() -> None:
    sources = Path(chronovisor_api.__file__).parent.glob("*.py")
    text = "".join(source.read_text() for source in sources)
    calls = {name for name in vars(v1.SupervisorStub) if not name.startswith("_")}
    assert {name for name in calls if f"self.supervisor.{name}" not in text} == set()


@pytest.mark.parametrize(
    ("order", "command"),
    [
        (lambda client: client.start("a"), Start()),
        (lambda client: client.stop("a"), Stop()),
        (lambda client: client.stop("a", grace_ms=0), Stop(0)),
        (lambda client: client.kill("a"), Kill()),
        (lambda client: client.pause("a"), Pause()),
        (lambda client: client.resume("a"), Resume()),
        (lambda client: client.reset("a"), Reset()),
        (lambda client: client.delete("a"), Delete()),
        (
            lambda client: client.approve("a", launch=2, measurement=MEASUREMENT),
            ApproveLaunch(2, base64.b64encode(MEASUREMENT).decode()),
        ),
        (
            lambda client: client.reject("a", launch=2, reason="not mine"),
            RejectLaunch(2, "not mine"),
        ),
    ],
)
async def test_an_order_is_the_command(
    served: Served,
    supervisor: MemorySupervisor,
    order: Callable[[Client], Awaitable[v1.Vm]],
    command: Command,
) -> None:
    await submitted(served, "a")
    assert (await use(unix(served), order)).vm_id == "a"
    assert supervisor.commands == [("a", command)]


async def test_history_ends_where_a_watch_goes_on(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a", "b")

    async def read(client: Client) -> list[list[int]]:
        of_all = [event.position async for event in client.history(after=1)]
        of_one = [event.position async for event in client.history(vm_id="a")]
        since = [event.position async for event in client.history(since=LONG_AGO)]
        return [of_all, of_one, since]

    assert await use(unix(served), read) == [[2], [1], [1, 2]]


async def test_a_filter_that_there_is_not_is_refused_and_not_left_out(served: Served) -> None:
    # Written by somebody who checks no types.
    misspelt: dict[str, Any] = {"vm": "a"}
    with pytest.raises(TypeError, match="'vm'"):
        await use(unix(served), lambda client: anext(client.watch(**misspelt)))


async def test_bytes_are_uploaded_as_a_file_is_and_told_of(served: Served, tmp_path: Path) -> None:
    content, told = b"x" * 600_000, list[int]()
    sha256 = await use(unix(served), lambda client: client.upload(content, told=told.append))
    assert (tmp_path / sha256).read_bytes() == content
    assert sum(told) == len(content)


async def test_the_log_says_which_it_is(served: Served, supervisor: MemorySupervisor) -> None:
    await submitted(served, "a")
    log = await use(unix(served), lambda client: client.log())
    assert (log.head, log.log_id) == (1, supervisor.log.log_id)


async def test_what_a_vm_wrote_is_read_and_what_was_said_to_it(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a")
    supervisor.vms["a"] = msgspec.structs.replace(supervisor.vms["a"], phase=Phase.STOPPED)
    await trio.Path(supervisor.console("a")).write_bytes(b"Linux\n")
    await trio.Path(supervisor.guest_log("a")).write_bytes(b"hello\n")
    await trio.Path(supervisor.transcript_of("a")).write_bytes(b"{}\n")

    async def read(client: Client) -> list[object]:
        guest = v1.ConsoleLog.GUEST
        return [
            b"".join([piece async for piece in client.console("a", follow=True)]),
            b"".join([piece async for piece in client.console("a", log=guest)]),
            await client.transcript("a", launch=2),
        ]

    assert await use(unix(served), read) == [b"Linux\n", b"hello\n", Transcript(2, b"{}\n")]
