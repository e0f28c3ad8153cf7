"""What one caller may see of the daemon: by every method there is, and of every event."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from chronovisor_api import cocos

from eventlog import Record
from supervisor.access.roles import Reach
from supervisor.api.cocos_service import CocosService
from supervisor.api.grpc_services import offered
from supervisor.api.scope import SeenBy, seen_by, sight
from supervisor.caller import Caller
from supervisor.vm.commands import CommandDenied, DenyReason, Stop
from supervisor.vm.inputs import InputName
from supervisor.vm.spec import Algorithm, Manifest
from tests.api.memory_supervisor import DIGEST, MemorySupervisor

ALICE = Caller("alice", "red", reach=Reach.OWN)
STRANGERS = {
    "neighbour": Caller("mallory", "red", reach=Reach.OWN),
    "unconcerned": Caller("mallory", "red", reach=Reach.CONCERNED),
    "namesake": Caller("alice", "blue", reach=Reach.OWN),
    "namesake concerned": Caller("alice", "blue", reach=Reach.CONCERNED),
    "viewer elsewhere": Caller("mallory", "blue", reach=Reach.TENANT),
    "without a reach": Caller("alice", "red"),
}
ANYTHING: Any = object()
"""What nobody gets to look at."""

METHODS: dict[str, Callable[[SeenBy, Caller], object]] = {
    "get": lambda seen, _: seen.get("a"),
    "command": lambda seen, caller: seen.command("a", Stop(), caller),
    "provide_session": lambda seen, caller: seen.provide_session("a", ANYTHING, caller),
    "report": lambda seen, caller: seen.report("a", b"", caller),
    "check_provider": lambda seen, caller: seen.check_provider("a", caller.principal),
    "provide_input": lambda seen, caller: seen.provide_input(
        "a", InputName(caller.principal, "algorithm"), DIGEST, caller
    ),
    "open_result": lambda seen, caller: seen.open_result("a", caller),
    "console": lambda seen, _: seen.console("a"),
    "guest_log": lambda seen, _: seen.guest_log("a"),
    "transcript": lambda seen, _: seen.transcript("a", None),
}
APART = {"submit", "sight"}
"""They tell nothing of a VM that is there."""
COCOS: dict[str, Callable[[CocosService, Caller], Awaitable[object]]] = {
    "remove_vm": lambda service, who: service.remove_vm(cocos.RemoveReq(cvm_id="a"), who),
    "cvm_info": lambda service, who: service.cvm_info(cocos.CvmInfoReq(id="a"), who),
    "attestation_policy": lambda service, who: service.attestation_policy(
        cocos.AttestationPolicyReq(id="a"), who
    ),
}
EACH_STRANGER = pytest.mark.parametrize("who", STRANGERS.values(), ids=STRANGERS)


@pytest.fixture(name="alices")
async def _alices(supervisor: MemorySupervisor) -> MemorySupervisor:
    """A supervisor with one VM, which is Alice's and ended with a result."""
    manifest = Manifest("secret", Algorithm(DIGEST))
    await supervisor.submit(manifest, key="k", vm_id="a", caller=ALICE)
    supervisor.finish("a", b"archive")
    supervisor.transcript_of("a").write_bytes(b"{}\n")
    supervisor.callers.clear()
    return supervisor


async def _done(answer: object) -> None:
    if inspect.isawaitable(answer):
        await answer


def test_every_method_that_names_a_vm_is_asked_here() -> None:
    named = {
        name
        for name, method in vars(SeenBy).items()
        if callable(method) and "vm_id" in inspect.signature(method).parameters
    }
    assert named == METHODS.keys() | APART


@EACH_STRANGER
@pytest.mark.parametrize("ask", METHODS.values(), ids=METHODS)
async def test_no_method_reaches_the_vm_of_another(
    alices: MemorySupervisor, who: Caller, ask: Callable[[SeenBy, Caller], object]
) -> None:
    with pytest.raises(CommandDenied) as denied:
        await _done(ask(seen_by(alices, who), who))
    assert denied.value.reason is DenyReason.VM_UNKNOWN
    assert not alices.callers


async def test_every_call_of_the_manager_that_names_a_machine_is_asked_here(
    supervisor: MemorySupervisor,
) -> None:
    _, manager = offered(supervisor)
    assert {method.__name__ for _, _, method in manager.calls()} == COCOS.keys() | {"create_vm"}


@EACH_STRANGER
@pytest.mark.parametrize("ask", COCOS.values(), ids=COCOS)
async def test_no_call_of_the_manager_reaches_the_machine_of_another(
    alices: MemorySupervisor,
    who: Caller,
    ask: Callable[[CocosService, Caller], Awaitable[object]],
) -> None:
    with pytest.raises(CommandDenied) as denied:
        await ask(CocosService(alices), who)
    assert denied.value.reason is DenyReason.VM_UNKNOWN
    assert not alices.callers


async def _recorded(alices: MemorySupervisor, stream: str, tenant: str, principal: str) -> Record:
    said = alices.event(stream, "vm.said.v1", {})
    envelope = msgspec.structs.replace(said, tenant=tenant, principal=principal)
    (record,) = await alices.log.append([envelope])
    return record


SEEN = {
    "of its VM": ("vm/a", "red", ""),
    "of its VM, by an admin": ("vm/a", "red", "root"),
    "of no VM, its own doing": ("host", "red", "alice"),
}
UNSEEN = {
    "of no VM, another's doing": ("host", "red", "mallory"),
    "of no VM, nobody's doing": ("host", "red", ""),
    "of no VM, a namesake's doing": ("host", "blue", "alice"),
    "of a VM that is gone": ("vm/gone", "red", ""),
    "of its VM's id in another tenant": ("vm/a", "blue", ""),
    "of a namesake's VM": ("vm/theirs", "blue", "alice"),
}
OWNERS_REACH = pytest.mark.parametrize("reach", [Reach.OWN, Reach.CONCERNED])


@pytest.mark.parametrize("envelope", SEEN.values(), ids=SEEN)
@OWNERS_REACH
async def test_an_owner_sees_what_became_of_its_vms_and_what_it_did(
    alices: MemorySupervisor, reach: Reach, envelope: tuple[str, str, str]
) -> None:
    caller = msgspec.structs.replace(ALICE, reach=reach)
    assert sight(caller, alices.get, None)(await _recorded(alices, *envelope))


@pytest.mark.parametrize("envelope", UNSEEN.values(), ids=UNSEEN)
@OWNERS_REACH
async def test_an_owner_sees_nothing_else(
    alices: MemorySupervisor, reach: Reach, envelope: tuple[str, str, str]
) -> None:
    caller = msgspec.structs.replace(ALICE, reach=reach)
    assert not sight(caller, alices.get, None)(await _recorded(alices, *envelope))


@EACH_STRANGER
async def test_a_stranger_sees_nothing_of_a_vm(alices: MemorySupervisor, who: Caller) -> None:
    record = await _recorded(alices, "vm/a", "red", "")
    assert not sight(who, alices.get, None)(record)
    assert not sight(who, alices.get, "a")(record)
