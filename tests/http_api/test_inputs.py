"""Inputs that parties bring: as bytes or by digest, and who then gets the result."""

import hashlib

import httpx
import msgspec
import pytest

from supervisor.vm.spec import Algorithm, Dataset, Manifest
from supervisor.vm.state import Phase
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import MANIFEST, submit, violations

SHARED = Manifest(
    "shared",
    Algorithm(provider="Alice & co"),
    datasets=(Dataset("iris.csv", provider="Bob", id="iris data"),),
)
BYTES = b"5.1,3.5\n"
DIGEST = hashlib.sha256(BYTES).hexdigest()
OF_BOB, OF_ALICE = "inputs/Bob/iris%20data", "inputs/Alice%20%26%20co/algorithm"


async def shared(client: httpx.AsyncClient) -> str:
    answer = await submit(client, SHARED)
    assert (answer.status_code, answer.json()["phase"]) == (201, "awaiting-inputs")
    return f"/v1/vms/{answer.json()['vm_id']}"


async def test_inputs_are_brought_as_bytes_or_by_their_digest(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm = await shared(client)
    first = await client.put(f"{vm}/{OF_BOB}", content=BYTES)
    assert [path.read_bytes() for path in supervisor.stored()] == [BYTES]
    assert (first.status_code, first.json()["phase"]) == (200, "awaiting-inputs")
    assert first.json()["inputs"] == [
        {"provider": "Alice & co", "id": "algorithm", "sha256": None, "size": None},
        {"provider": "Bob", "id": "iris data", "sha256": DIGEST, "size": 1},
    ]
    assert first.json()["inputs_deadline"] is not None
    second = await client.put(f"{vm}/{OF_ALICE}", json={"sha256": DIGEST})
    assert (second.status_code, second.json()["phase"]) == (200, "defined")
    again = await client.put(f"{vm}/{OF_ALICE}", content=BYTES)
    assert (again.status_code, again.json()["version"]) == (200, second.json()["version"])


async def test_what_nobody_awaits_is_refused_before_it_is_stored(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm = await shared(client)
    answer = await client.put(f"{vm}/inputs/Mallory/iris", content=BYTES)
    assert (answer.status_code, answer.json()["reason"]) == (404, "input-unknown")
    assert "Alice & co/algorithm, Bob/iris data" in answer.json()["detail"]
    assert supervisor.stored() == []


async def test_what_is_not_awaited_any_more_is_refused_before_it_is_stored(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm = await shared(client)
    (vm_id,) = supervisor.vms
    supervisor.vms[vm_id] = msgspec.structs.replace(supervisor.vms[vm_id], phase=Phase.STOPPED)
    answer = await client.put(f"{vm}/{OF_BOB}", content=BYTES)
    assert (answer.status_code, answer.json()["reason"]) == (409, "wrong-phase")
    assert supervisor.stored() == []


async def test_other_bytes_in_the_place_of_what_came_are_refused(client: httpx.AsyncClient) -> None:
    vm = await shared(client)
    await client.put(f"{vm}/{OF_BOB}", content=BYTES)
    answer = await client.put(f"{vm}/{OF_BOB}", content=b"other")
    assert (answer.status_code, answer.json()["reason"]) == (409, "input-already-provided")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b"", "body"),
        (b"{}", "body"),
        (b"[]", "body"),
        (b'{"sha256": 5}', "body"),
        (b'{"sha256": "\xff"}', "body"),
        (b'{"sha256": "xyz"}', "sha256"),
        (b'{"sha256": "%s", "size": 5}' % (b"a" * 64), "body"),
        (b" " * 1025, "body"),
    ],
)
async def test_a_digest_that_is_none_is_named(
    client: httpx.AsyncClient, document: bytes, field: str
) -> None:
    vm = await shared(client)
    json = {"Content-Type": "application/json; charset=utf-8"}
    answer = await client.put(f"{vm}/{OF_BOB}", content=document, headers=json)
    assert answer.status_code in {400, 413}
    assert list(violations(answer)) == [field]


@pytest.mark.parametrize(("consumer", "status"), [("token:default", 200), ("uid:1002", 403)])
async def test_a_result_is_for_its_submitter_and_its_consumers(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, consumer: str, status: int
) -> None:
    manifest = msgspec.structs.replace(MANIFEST, result_consumers=(consumer,))
    vm_id = (await submit(client, manifest)).json()["vm_id"]
    supervisor.finish(vm_id, BYTES)
    supervisor.vms[vm_id] = msgspec.structs.replace(supervisor.vms[vm_id], principal="uid:1000")
    answer = await client.get(f"/v1/vms/{vm_id}/result")
    assert answer.status_code == status
    assert status == 200 or answer.json()["reason"] == "not-a-consumer"
