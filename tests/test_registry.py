"""The list of VMs: who is in it, and what is said of who is not."""

import msgspec
import pytest

from supervisor.caller import Caller
from supervisor.registry import Registry
from supervisor.vm.commands import CommandDenied, DenyReason, Stop
from tests.vm.states import COMPUTING, STATES

CALLER = Caller("uid:1000", "local")


def test_vms_come_in_the_order_of_their_ids() -> None:
    registry = Registry()
    for vm_id in ("iris", "abalone", "wine"):
        registry.add(msgspec.structs.replace(COMPUTING, vm_id=vm_id))
    assert [state.vm_id for state in registry.states()] == ["abalone", "iris", "wine"]


def test_a_vm_shows_its_latest_durable_state() -> None:
    registry = Registry()
    ref = registry.add(COMPUTING)
    ref.state = STATES["paused"]
    assert registry.get("iris") is STATES["paused"]


async def test_nobody_is_found_under_an_unknown_a_forgotten_or_a_deleted_id() -> None:
    registry = Registry()
    registry.add(msgspec.structs.replace(STATES["deleted"], vm_id="deleted"))
    registry.add(msgspec.structs.replace(COMPUTING, vm_id="forgotten"))
    registry.forget("forgotten")
    for vm_id in ("unknown", "forgotten", "deleted", "x" * 10_000):
        with pytest.raises(CommandDenied) as denied:
            await registry.ask(vm_id, Stop(), CALLER)
        assert denied.value.reason is DenyReason.VM_UNKNOWN
        assert len(denied.value.detail) < 200


async def test_a_vm_that_cannot_be_read_is_not_there_and_whoever_asks_is_told_why() -> None:
    registry = Registry()
    registry.add(COMPUTING)
    registry.set_aside("wine", "the log holds 'vm.teleported.v1' at position 17")
    with pytest.raises(CommandDenied, match=r"vm\.teleported\.v1") as denied:
        registry.get("wine")
    assert denied.value.reason is DenyReason.EVENT_UNKNOWN
    with pytest.raises(CommandDenied, match=r"vm\.teleported\.v1"):
        await registry.ask("wine", Stop(), CALLER)
    assert [state.vm_id for state in registry.states()] == ["iris"]
