"""The Python client: what it makes of answers, refusals, and a daemon that is not there."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import trio
from chronovisor_api import Client, Damaged, Refused, Unreachable, v1
from grpclib.const import Status

from supervisor.vm.state import Phase, Result
from tests.api.conftest import PATIENCE, TOKEN, Served
from tests.api.memory_supervisor import MemorySupervisor

T = TypeVar("T")
MANIFEST = v1.Manifest(name="iris", algorithm=v1.Algorithm(sha256="b" * 64))
ARCHIVE = b"archive" * 30_000


async def use(
    target: str, body: Callable[[Client], Awaitable[T]], *, token: str | None = None
) -> T:
    """Run a client without patience in a thread of its own, as its process would."""

    async def client() -> T:
        async with asyncio.timeout(PATIENCE), Client(target, token, patience_s=0) as client:
            return await body(client)

    return await trio.to_thread.run_sync(lambda: asyncio.run(client()))


def unix(served: Served) -> str:
    return f"unix:{served.unix}"


async def submitted(served: Served, *vm_ids: str) -> None:
    async def submit(client: Client) -> None:
        for vm_id in vm_ids:
            await client.submit(MANIFEST, vm_id=vm_id)

    await use(unix(served), submit)


async def test_one_key_is_one_vm_and_no_key_is_one_each_time(served: Served) -> None:
    async def four(client: Client) -> list[str]:
        keys = ["k", "k", None, None]
        return [(await client.submit(MANIFEST, idempotency_key=key)).vm_id for key in keys]

    assert await use(unix(served), four) == ["vm-0", "vm-0", "vm-1", "vm-2"]


async def test_a_list_goes_on_over_its_pages(served: Served) -> None:
    vm_ids = [f"vm-{number:03}" for number in range(103)]
    await submitted(served, *vm_ids)

    async def listed(client: Client) -> list[str]:
        return [vm.vm_id async for vm in client.list(phases=[v1.Phase.DEFINED])]

    assert await use(unix(served), listed) == vm_ids


async def test_a_file_is_uploaded_whole(served: Served, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(ARCHIVE)
    sha256 = await use(unix(served), lambda client: client.upload(tmp_path / "big"))
    assert sha256 == hashlib.sha256(ARCHIVE).hexdigest()
    assert (tmp_path / sha256).read_bytes() == ARCHIVE


async def test_a_file_that_is_not_there_is_not_the_daemons_fault(
    served: Served, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await use(unix(served), lambda client: client.upload(tmp_path / "none"))


async def with_result(
    served: Served, supervisor: MemorySupervisor, directory: Path, result: Result
) -> None:
    await submitted(served, "a")
    (directory / result.sha256).write_bytes(ARCHIVE)
    supervisor.vms["a"] = msgspec.structs.replace(
        supervisor.vms["a"], result=result, phase=Phase.STOPPED
    )


async def test_a_result_replaces_a_file_once_it_is_whole(
    served: Served, supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(ARCHIVE).hexdigest()
    await with_result(served, supervisor, tmp_path, Result(sha256, len(ARCHIVE)))
    to = tmp_path / "results" / "a.tar"
    to.parent.mkdir()
    result = await use(unix(served), lambda client: client.result("a", to))
    assert (result.sha256, to.read_bytes()) == (sha256, ARCHIVE)


async def test_a_result_that_is_damaged_leaves_what_was_there(
    served: Served, supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    await with_result(served, supervisor, tmp_path, Result("c" * 64, len(ARCHIVE)))
    to = tmp_path / "results" / "a.tar"
    to.parent.mkdir()
    to.write_text("before")
    with pytest.raises(Damaged):
        await use(unix(served), lambda client: client.result("a", to))
    assert [path.name for path in to.parent.iterdir()] == ["a.tar"]
    assert to.read_text() == "before"


async def test_who_waits_for_what_is_over_has_it_at_once(
    served: Served, supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    await with_result(served, supervisor, tmp_path, Result("c" * 64, len(ARCHIVE)))
    vm = await use(unix(served), lambda client: client.wait("a"))
    assert vm.phase is v1.Phase.STOPPED


async def test_who_waits_is_told_of_the_end(served: Served, supervisor: MemorySupervisor) -> None:
    await submitted(served, "a")
    of_a_launch_before = supervisor.event("vm/a", "vm.stopped.v1", {})
    await supervisor.log.append([of_a_launch_before])
    async with trio.open_nursery() as nursery:
        ended: list[v1.Vm] = []

        async def wait() -> None:
            ended.append(await use(unix(served), lambda client: client.wait("a")))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.05)
        supervisor.vms["a"] = msgspec.structs.replace(supervisor.vms["a"], phase=Phase.FAILED)
        await supervisor.log.append([supervisor.event("vm/a", "vm.failed.v1", {})])
    assert [vm.phase for vm in ended] == [v1.Phase.FAILED]


async def test_a_watch_goes_on_after_a_position_in_the_same_log_only(served: Served) -> None:
    await submitted(served, "a", "b", "c")

    async def second(client: Client) -> v1.Event:
        return await anext(client.watch(after=1))

    event = await use(unix(served), second)
    assert (event.position, event.stream) == (2, "vm/b")

    async def elsewhere(client: Client) -> v1.Event:
        return await anext(client.watch(after=1, log_id="another"))

    with pytest.raises(Refused) as refused:
        await use(unix(served), elsewhere)
    assert refused.value.reason == "CURSOR_OF_ANOTHER_LOG"


async def test_a_refusal_names_its_reason_and_the_fields(served: Served) -> None:
    with pytest.raises(Refused, match="vm_id: is missing") as refused:
        await use(unix(served), lambda client: client.get(""))
    assert refused.value.status is Status.INVALID_ARGUMENT
    assert refused.value.reason == "INVALID_ARGUMENT"
    assert [violation.field for violation in refused.value.violations] == ["vm_id"]
    assert refused.value.retry_after is None


async def test_over_tcp_the_token_is_needed(served: Served) -> None:
    target = str(served.tcp)
    with pytest.raises(Refused) as refused:
        await use(target, lambda client: client.get("a"))
    assert refused.value.reason == "UNAUTHENTICATED"
    with pytest.raises(Refused) as refused:
        await use(target, lambda client: client.get("a"), token=TOKEN)
    assert refused.value.reason == "VM_UNKNOWN"


async def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"nobody\.sock"):
        await use(f"unix:{tmp_path}/nobody.sock", lambda client: client.get("a"))
