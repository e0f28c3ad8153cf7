"""Whom the Python client waits for: a daemon that went away, and not one that was never there.

And what it asks again: all but what would happen twice.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from chronovisor_api import Client, Damaged, Refused, Silence, Unreachable, v1
from grpclib.const import Status

from tests.cli.peer import Peer, serving

T = TypeVar("T")
HANG_S = 60
"""Seconds after which a test hangs."""
TURNS = 12
"""Of the loop: more than it takes to connect."""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose sockets have short paths."""
    with TemporaryDirectory(prefix="cv-") as name:
        yield Path(name)


def use(
    directory: Path, body: Callable[[Client], Awaitable[T]], *, first_patience_s: float | None = 0
) -> T:
    target = f"unix:{directory}/grpc.sock"

    async def client() -> T:
        opened = Client(target, first_patience_s=first_patience_s)
        async with asyncio.timeout(HANG_S), opened as client:
            return await body(client)

    return asyncio.run(client())


def with_vm(peer: Peer) -> Peer:
    peer.supervisor.add(v1.Manifest(name="iris"))
    return peer


def test_who_is_not_there_at_first_is_not_waited_for(directory: Path) -> None:
    with pytest.raises(Unreachable) as away:
        use(directory, lambda client: client.get("vm-1"))
    assert away.value.silence is Silence.ABSENT


def test_who_is_to_come_is_waited_for(directory: Path) -> None:
    async def get(client: Client) -> v1.Vm:
        getting = asyncio.create_task(client.get("vm-1"))
        with serving(directory) as peer:
            with_vm(peer)
            return await getting

    assert use(directory, get, first_patience_s=None).vm_id == "vm-1"


def test_an_order_whose_answer_is_lost_is_given_again(directory: Path) -> None:
    with serving(directory, broken_connections=1) as peer:
        assert use(with_vm(peer).state_dir, lambda client: client.kill("vm-1")).vm_id == "vm-1"
    assert len(peer.supervisor.orders) == 1


@pytest.mark.parametrize("order", [Client.reset, Client.start])
def test_what_would_happen_twice_is_sent_once(
    directory: Path, order: Callable[[Client, str], Awaitable[v1.Vm]]
) -> None:
    with serving(directory, broken_connections=1) as peer, pytest.raises(Unreachable) as away:
        use(with_vm(peer).state_dir, lambda client: order(client, "vm-1"))
    assert away.value.silence is Silence.BROKEN_OFF


def test_who_hangs_up_without_a_word_was_not_asked(directory: Path) -> None:
    async def ask() -> None:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(hang_up, directory / "grpc.sock")
        async with server, Client(f"unix:{directory}/grpc.sock", first_patience_s=0) as client:
            await client.reset("vm-1")

    with pytest.raises(Unreachable) as away:
        asyncio.run(ask())
    assert away.value.silence is Silence.HUNG_UP


def test_a_call_that_is_cancelled_while_it_connects_leaves_nothing_to_be_told(
    directory: Path,
) -> None:
    told: list[str] = []

    def cancel(call: "asyncio.Task[v1.Vm]", turns: int) -> None:
        if turns:
            call.get_loop().call_soon(cancel, call, turns - 1)
        else:
            call.cancel()

    async def ask(turns: int) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, it: told.append(it["message"]))
        async with Client(f"unix:{directory}/grpc.sock") as client:
            call = asyncio.create_task(client.get("vm-1"))
            cancel(call, turns)
            await asyncio.wait([call])
        del call
        gc.collect()

    with serving(directory):
        for turns in range(TURNS):
            asyncio.run(ask(turns))
    assert told == []


def test_at_once_is_without_patience(directory: Path) -> None:
    with serving(directory, broken_connections=1) as peer, pytest.raises(Unreachable):
        use(with_vm(peer).state_dir, lambda client: client.at_once().get("vm-1"))


def test_a_history_goes_on_where_it_broke_off(directory: Path) -> None:
    async def positions(client: Client) -> list[int]:
        return [event.position async for event in client.history()]

    with serving(directory, broken_connections=1) as peer:
        assert use(with_vm(peer).state_dir, positions) == [1, 2, 3, 4]


def test_a_daemon_that_cannot_answer_now_says_why(directory: Path) -> None:
    with serving(directory) as peer:
        peer.supervisor.refusal = (Status.UNAVAILABLE, "it stops")
        with pytest.raises(Unreachable, match="it stops") as away:
            use(directory, lambda client: client.at_once().get("vm-1"))
    assert (away.value.silence, away.value.why) == (Silence.DECLINED, "it stops")


def test_a_result_that_is_another_is_damaged(directory: Path) -> None:
    async def fetch(client: Client) -> list[v1.FetchResultResponse]:
        return [piece async for piece in client.result_pieces("vm-1")]

    with serving(directory) as peer:
        with_vm(peer).supervisor.promised_sha256 = "0" * 64
        with pytest.raises(Damaged, match=f"not {'0' * 64}: fetch it again"):
            use(directory, fetch)
        with pytest.raises(Refused, match="there is no VM"):
            use(directory, lambda client: client.result("nobody", directory / "r"))
    assert not (directory / "r").exists()
