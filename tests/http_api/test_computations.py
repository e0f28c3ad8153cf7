"""Computations and VMs as resources."""

import httpx
import msgspec
import pytest

from supervisor.api.listing import PAGE_BYTES
from supervisor.vm.commands import Command, Delete, Kill, Pause, Reset, Resume, Start, Stop
from supervisor.vm.spec import Manifest
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import MANIFEST, submit


async def test_a_computation_is_accepted_once_for_its_key(client: httpx.AsyncClient) -> None:
    first, second = await submit(client), await submit(client)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.headers["location"] == f"/v1/vms/{first.json()['vm_id']}"
    assert first.json() == second.json()
    assert first.json()["phase"] == "defined"
    assert first.json()["created_at"] == "2023-11-14T22:13:20.123000Z"


async def test_a_manifest_comes_back_with_every_default_and_may_be_sent_again(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    short = {"name": "a computation", "algorithm": {"sha256": MANIFEST.algorithm.sha256}}
    told = (await submit(client, short)).json()["manifest"]
    assert msgspec.convert(told, Manifest) == MANIFEST
    assert told["vm"]["kernel"] == {"by": "name", "name": "reference-kernel"}
    again = await submit(client, told, key="another")
    assert again.status_code == 201
    assert supervisor.vms[again.json()["vm_id"]].manifest == MANIFEST


async def test_the_caller_and_its_trace_go_with_the_request(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    client.headers["traceparent"] = trace
    await submit(client)
    (caller,) = supervisor.callers
    assert (caller.principal, caller.traceparent) == ("token:default", trace)
    assert caller.command_id


async def test_a_client_may_choose_the_id(client: httpx.AsyncClient) -> None:
    client.params = httpx.QueryParams(vm_id="mine")
    assert (await submit(client)).json()["vm_id"] == "mine"
    taken = await submit(client, key="another")
    assert (taken.status_code, taken.json()["reason"]) == (409, "vm-exists")


@pytest.mark.parametrize(
    ("method", "path", "command"),
    [
        ("POST", "/start", Start()),
        ("POST", "/stop", Stop()),
        ("POST", "/stop?grace_ms=1500", Stop(1500)),
        ("POST", "/kill", Kill()),
        ("POST", "/pause", Pause()),
        ("POST", "/resume", Resume()),
        ("POST", "/reset", Reset()),
        ("DELETE", "", Delete()),
    ],
)
async def test_each_order_becomes_its_command(
    client: httpx.AsyncClient,
    supervisor: MemorySupervisor,
    method: str,
    path: str,
    command: Command,
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    answer = await client.request(method, f"/v1/vms/{vm_id}{path}")
    assert (answer.status_code, answer.json()["vm_id"]) == (200, vm_id)
    assert supervisor.commands == [(vm_id, command)]


async def test_vms_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    made = [(await submit(client, key=f"key {n}")).json()["vm_id"] for n in range(5)]
    seen, token = [], ""
    while True:
        page = (await client.get("/v1/vms", params={"page_size": 2, "page_token": token})).json()
        assert len(page["vms"]) <= 2
        seen += [vm["vm_id"] for vm in page["vms"]]
        if not (token := page["next_page_token"]):
            break
    assert seen == made


async def test_a_page_of_long_manifests_ends_early_and_the_next_one_goes_on(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    long = msgspec.structs.replace(MANIFEST, description="x" * 40_000)
    state = supervisor.vms.pop((await submit(client)).json()["vm_id"])
    ids = [f"vm-{number:03}" for number in range(100)]
    for vm_id in ids:
        supervisor.vms[vm_id] = msgspec.structs.replace(state, vm_id=vm_id, manifest=long)
    answer = await client.get("/v1/vms", params={"page_size": 1000})
    first = answer.json()
    assert PAGE_BYTES // 2 < len(answer.content) < PAGE_BYTES + 1000
    rest = await client.get("/v1/vms", params={"page_token": first["next_page_token"]})
    assert [vm["vm_id"] for vm in first["vms"] + rest.json()["vms"]] == ids


async def test_vms_are_filtered_by_phase_and_labels(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    labelled = msgspec.structs.replace(MANIFEST, labels={"team": "blue", "run": "1"})
    blue = (await submit(client, labelled, key="1")).json()["vm_id"]
    ended = (await submit(client, labelled, key="2")).json()["vm_id"]
    other = (await submit(client, key="3")).json()["vm_id"]
    supervisor.finish(ended, b"archive")

    async def listed(query: str) -> list[str]:
        return [vm["vm_id"] for vm in (await client.get(f"/v1/vms?{query}")).json()["vms"]]

    assert await listed("label=team%3Dblue&label=run%3D1") == [blue, ended]
    assert await listed("label=team%3Dblue&phase=stopped") == [ended]
    assert await listed("phase=defined&phase=queued") == [blue, other]


async def test_an_unknown_vm_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/vms/nobody")
    assert (answer.status_code, answer.json()["reason"]) == (404, "vm-unknown")
