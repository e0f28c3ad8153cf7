"""Computations of several parties over gRPC, through the public client."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from chronovisor_api import Client, Refused, v1

from tests.api.conftest import Served
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.test_client import unix, use

DIGEST, OTHER = "b" * 64, "c" * 64
SHARED = v1.Manifest(
    name="shared",
    algorithm=v1.Algorithm(provider="Alice"),
    datasets=[v1.Dataset(name="iris.csv", provider="Bob", id="iris")],
    result_consumers=["uid:424242"],
)


async def test_each_party_brings_its_own_and_may_repeat_itself(served: Served) -> None:
    async def bring(client: Client) -> list[v1.Vm]:
        first = await client.submit(SHARED, vm_id="a")
        return [
            first,
            await client.provide("a", DIGEST, provider="Bob", input_id="iris"),
            await client.provide("a", DIGEST, provider="Bob", input_id="iris"),
            await client.provide("a", OTHER, provider="Alice"),
        ]

    vms = await use(unix(served), bring)
    waits, goes_on = v1.Phase.AWAITING_INPUTS, v1.Phase.DEFINED
    assert [vm.phase for vm in vms] == [waits, waits, waits, goes_on]
    assert [[bool(each.sha256) for each in vm.inputs] for vm in vms] == [
        [False, False],
        [False, True],
        [False, True],
        [True, True],
    ]
    assert vms[1].version == vms[2].version


async def refusal(served: Served, ask: Callable[[Client], Awaitable[object]]) -> Refused:
    async def twice(client: Client) -> None:
        await client.submit(SHARED, vm_id="a")
        await client.provide("a", DIGEST, provider="Bob", input_id="iris")
        await ask(client)

    with pytest.raises(Refused) as refused:
        await use(unix(served), twice)
    return refused.value


@pytest.mark.parametrize(
    ("provider", "input_id", "sha256", "reason"),
    [
        ("Bob", "iris", OTHER, "INPUT_ALREADY_PROVIDED"),
        ("Bob", "other", DIGEST, "INPUT_UNKNOWN"),
        ("Mallory", "iris", DIGEST, "INPUT_UNKNOWN"),
        ("", "iris", DIGEST, "INVALID_ARGUMENT"),
        ("Bob", "", DIGEST, "INVALID_ARGUMENT"),
        ("Bob", "iris", "xyz", "INVALID_ARGUMENT"),
    ],
)
async def test_what_is_not_awaited_is_refused(
    served: Served, provider: str, input_id: str, sha256: str, reason: str
) -> None:
    async def ask(client: Client) -> object:
        return await client.provide("a", sha256, provider=provider, input_id=input_id)

    assert (await refusal(served, ask)).reason == reason


async def test_a_result_is_refused_to_whom_it_is_not_for(
    served: Served, supervisor: MemorySupervisor
) -> None:
    async def ask(client: Client) -> object:
        supervisor.finish("a", b"archive")
        supervisor.vms["a"] = msgspec.structs.replace(supervisor.vms["a"], principal="uid:1000")
        return [piece async for piece in client.result_pieces("a")]

    assert (await refusal(served, ask)).reason == "NOT_A_CONSUMER"
