"""``POST /run``: what clients of the older manager send, and what they are answered."""

import httpx
import msgspec
import pytest

from supervisor.http_api.bounds import Bounds
from supervisor.vm.commands import CommandDenied, DenyReason
from tests.api.memory_supervisor import MemorySupervisor
from tests.cocos.documents import EARLIER, LATER, as_byte_values
from tests.http_api.conftest import Serve, violations


async def run(client: httpx.AsyncClient, document: bytes) -> httpx.Response:
    """Send a computation as an older client does."""
    headers = {"Content-Type": "application/json"}
    return await client.post("/run", content=document, headers=headers)


@pytest.mark.parametrize("document", [LATER, EARLIER, as_byte_values(LATER)])
async def test_every_form_is_answered_with_the_id_of_its_vm(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, document: bytes
) -> None:
    first, again = await run(client, document), await run(client, document)
    ((vm_id, state),) = supervisor.vms.items()
    assert (first.status_code, first.json()) == (200, {"id": vm_id})
    assert (again.status_code, again.json()) == (200, {"id": vm_id})
    assert state.manifest.name in {"Sample Computation", "Machine Diagnostics Analysis"}


async def test_without_an_id_each_request_is_a_computation_of_its_own(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    document = b'{"algorithms": ["a"], "owner": "Ann"}'
    ids = [(await run(client, document)).json()["id"] for _ in range(2)]
    assert sorted(ids) == sorted(supervisor.vms)
    assert len(ids) == 2


async def test_an_id_that_another_vm_has_is_a_conflict(client: httpx.AsyncClient) -> None:
    manifest = {"name": "other", "algorithm": {"sha256": "a" * 64}}
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    taken = await client.post(
        "/v1/computations?vm_id=123", content=msgspec.json.encode(manifest), headers=headers
    )
    assert taken.status_code == 201
    refused = await run(client, LATER)
    assert (refused.status_code, refused.json()["reason"]) == (409, "vm-exists")
    assert violations(refused).keys() == {"id"}


@pytest.mark.parametrize(
    "reason", [DenyReason.IDEMPOTENCY_KEY_REUSED, DenyReason.VM_DELETED, DenyReason.VM_EXISTS]
)
async def test_an_id_that_cannot_be_had_is_named_as_these_clients_know_it(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, reason: DenyReason
) -> None:
    supervisor.failure = CommandDenied(reason, "choose a new key")
    refused = await run(client, LATER)
    assert (refused.status_code, refused.json()["reason"]) == (409, reason.value)
    assert violations(refused).keys() == {"id"}
    assert "key" not in refused.json()["detail"]


async def test_what_is_wrong_is_told_field_by_field(client: httpx.AsyncClient) -> None:
    refused = await run(client, b'{"algorithms": ["a", "b"], "ttl": 0, "owner": "Ann"}')
    assert refused.status_code == 400
    assert refused.json()["reason"] == "invalid-manifest"
    assert violations(refused).keys() == {"algorithms", "ttl"}


async def test_it_takes_the_token_json_and_no_parameters(client: httpx.AsyncClient) -> None:
    plain = await client.post("/run", content=LATER, headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    headers = {"Content-Type": "application/json"}
    named = await client.post("/run?vm_id=a", content=LATER, headers=headers)
    assert violations(named).keys() == {"vm_id"}
    client.headers.pop("Authorization")
    assert (await run(client, LATER)).status_code == 401


async def test_a_computation_that_is_too_large_is_not_read(serve: Serve) -> None:
    served = await serve(Bounds(document_bytes=100))
    async with served.client() as client:
        assert (await run(client, LATER)).status_code == 413
