"""The Cocos manager's gRPC service, with a real client, over a supervisor in memory."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from chronovisor_api import cocos
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from eventlog import open_log
from supervisor.access.roles import Reach
from supervisor.api.cocos_service import CocosService
from supervisor.caller import Caller
from supervisor.schema import TAGS
from supervisor.vm.commands import Command, CommandDenied, Delete, DenyReason, Stop
from supervisor.vm.events import (
    Event,
    LaunchIntended,
    Outcome,
    RemovalFailed,
    VmDeleted,
    VmFailed,
    VmStopped,
)
from supervisor.vm.guest_agent import OwnAgent
from supervisor.vm.spec import ByName, Network, NetworkMode
from supervisor.vm.state import Phase, VmState
from tests.api.asked import asked
from tests.api.conftest import TOKEN, Served, ask, eventually
from tests.api.memory_supervisor import MemorySupervisor
from tests.vm.confidential_states import CLAIMS, CONFIDENTIAL, EVIDENCE_OF_LAUNCH, POLICY
from tests.vm.states import DIRECTORY, IMAGES, SHA256

Body = Callable[[cocos.ManagerServiceStub], Awaitable[Any]]
CALLER = Caller("uid:0", "default", reach=Reach.EVERYTHING)
ONE_REQUEST = cocos.CreateReq(
    agent_log_level="debug",
    agent_cvm_server_url="10.0.2.2:7003",
    agent_cvm_client_key=b"-----BEGIN PRIVATE KEY-----",
    ttl="1h30m",
)


async def call(served: Served, body: Body) -> Any:
    return await ask(
        f"unix:{served.unix}", None, lambda channel: body(cocos.ManagerServiceStub(channel))
    )


async def refusal(served: Served, body: Body) -> GRPCError:
    with pytest.raises(GRPCError) as refused:
        await call(served, body)
    return refused.value


async def say(supervisor: MemorySupervisor, vm_id: str, event: Event) -> None:
    """Let the log tell of a VM, as its actor would."""
    facts = msgspec.to_builtins(event)
    await supervisor.log.append([supervisor.event(f"vm/{vm_id}", TAGS[type(event)], facts)])


def intended(port: int) -> LaunchIntended:
    argv = ("qemu", "-S")
    return LaunchIntended(1, DIRECTORY, "uuid", argv, SHA256, IMAGES, "tcg", 1, host_ports=(port,))


async def when_submitted(supervisor: MemorySupervisor, event: Event) -> None:
    await eventually(lambda: bool(supervisor.vms))
    (vm_id,) = supervisor.vms
    await say(supervisor, "another", intended(20_999))
    await say(supervisor, vm_id, event)


def defined(supervisor: MemorySupervisor, state: VmState) -> None:
    supervisor.vms[state.vm_id] = state


async def test_a_machine_is_answered_with_the_port_of_its_agent(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery
) -> None:
    nursery.start_soon(when_submitted, supervisor, intended(20_007))
    created = await call(served, lambda stub: stub.create_vm(cocos.CreateReq()))
    ((vm_id, state),) = supervisor.vms.items()
    assert (created.forwarded_port, created.cvm_id) == ("20007", vm_id)
    manifest = state.manifest
    assert manifest.agent == OwnAgent(7002)
    assert (manifest.vm.kernel, manifest.vm.initrd) == (
        ByName("cocos-kernel"),
        (ByName("cocos-rootfs"),),
    )
    assert manifest.network == Network(NetworkMode.RESTRICTED)
    assert manifest.limits.ttl_ms == 30 * 24 * 3_600_000


async def test_what_the_agent_is_to_know_is_among_its_inputs(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery, tmp_path: Path
) -> None:
    nursery.start_soon(when_submitted, supervisor, intended(20_000))
    await call(served, lambda stub: stub.create_vm(ONE_REQUEST))
    ((_, state),) = supervisor.vms.items()
    found = {each.name: (tmp_path / each.sha256).read_bytes() for each in state.manifest.datasets}
    assert found == {
        "environment": b"AGENT_LOG_LEVEL=debug\nAGENT_CVM_GRPC_URL=10.0.2.2:7003\n",
        "key.pem": ONE_REQUEST.agent_cvm_client_key,
    }
    assert state.manifest.network.mode is NetworkMode.USER
    assert state.manifest.limits.ttl_ms == 5_400_000


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (cocos.CreateReq(ttl="soon"), "ttl"),
        (cocos.CreateReq(ttl="0s"), "ttl"),
        (cocos.CreateReq(ttl="99999h"), "ttl"),
        (cocos.CreateReq(agent_log_level="info\nLD_PRELOAD=x"), "agent_log_level"),
        (cocos.CreateReq(agent_cvm_server_url="x" * 3000), "agent_cvm_server_url"),
        (cocos.CreateReq(agent_cvm_ca_url="\0"), "agent_cvm_ca_url"),
        (cocos.CreateReq(agent_cvm_client_cert=bytes(70_000)), "agent_cvm_client_cert"),
    ],
)
async def test_a_bad_request_names_its_field(
    served: Served, supervisor: MemorySupervisor, request_: cocos.CreateReq, field: str
) -> None:
    refused = await refusal(served, lambda stub: stub.create_vm(request_))
    assert refused.status is Status.INVALID_ARGUMENT
    assert str(refused.message).startswith(f"{field}: got ")
    assert supervisor.stored() == []


async def test_an_operator_is_told_which_images_are_missing(
    served: Served, supervisor: MemorySupervisor
) -> None:
    supervisor.failure = CommandDenied(DenyReason.IMAGE_UNKNOWN, "vm.kernel: there is none")
    refused = await refusal(served, lambda stub: stub.create_vm(cocos.CreateReq()))
    assert refused.status is Status.FAILED_PRECONDITION
    assert "enter the guest's kernel as 'cocos-kernel'" in str(refused.message)
    assert "root filesystem as 'cocos-rootfs'" in str(refused.message)


async def test_a_machine_that_ends_before_its_launch_is_a_refusal(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery
) -> None:
    failed = VmFailed(1, Outcome.QEMU_FAILED_TO_START, "no room")
    nursery.start_soon(when_submitted, supervisor, failed)
    refused = await refusal(served, lambda stub: stub.create_vm(cocos.CreateReq()))
    assert (refused.status, "no room" in str(refused.message)) == (Status.FAILED_PRECONDITION, True)


class Obedient(MemorySupervisor):
    """Where a VM is what it is told to be, as soon as it is told."""

    async def command(self, vm_id: str, command: Command, caller: Caller) -> VmState:
        state = await super().command(vm_id, command, caller)
        phase = Phase.DELETED if isinstance(command, Delete) else Phase.STOPPED
        self.vms[vm_id] = msgspec.structs.replace(state, phase=phase)
        return self.vms[vm_id]


async def test_a_machine_that_gets_no_turn_is_removed_again(tmp_path: Path) -> None:
    async with open_log(tmp_path / "log") as log:
        supervisor = Obedient(log, tmp_path)
        service = CocosService(supervisor, patience_s=0.01)
        with pytest.raises(CommandDenied, match="no turn to launch") as refused:
            await service.create_vm(cocos.CreateReq(), CALLER)
    assert refused.value.reason is DenyReason.TOO_MANY_VMS
    assert supervisor.commands == [("vm-0", Stop(0)), ("vm-0", Delete())]


def was_ordered(supervisor: MemorySupervisor, count: int) -> bool:
    return len(supervisor.commands) == count


async def obey(supervisor: MemorySupervisor, *events: Event) -> None:
    """Answer each order with an event."""
    for count, event in enumerate(events, start=1):
        await eventually(partial(was_ordered, supervisor, count))
        (vm_id, _) = supervisor.commands[-1]
        await say(supervisor, vm_id, event)


async def test_a_machine_is_stopped_and_then_deleted(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery
) -> None:
    defined(supervisor, msgspec.structs.replace(CONFIDENTIAL["shielded"], vm_id="a"))
    stopped = VmStopped(1, Outcome.STOPPED_BY_CLIENT, "")
    nursery.start_soon(obey, supervisor, stopped, VmDeleted(1))
    await call(served, lambda stub: stub.remove_vm(cocos.RemoveReq(cvm_id="a")))
    assert supervisor.commands == [("a", Stop(0)), ("a", Delete())]


async def test_one_that_has_ended_is_only_deleted(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery
) -> None:
    ended = msgspec.structs.replace(CONFIDENTIAL["sealed"], vm_id="a", phase=Phase.FAILED)
    defined(supervisor, ended)
    nursery.start_soon(obey, supervisor, VmDeleted(1))
    await call(served, lambda stub: stub.remove_vm(cocos.RemoveReq(cvm_id="a")))
    assert supervisor.commands == [("a", Delete())]


async def test_one_whose_files_are_held_is_a_refusal_that_says_so(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery
) -> None:
    ended = msgspec.structs.replace(CONFIDENTIAL["sealed"], vm_id="a", phase=Phase.STOPPED)
    defined(supervisor, ended)
    nursery.start_soon(obey, supervisor, RemovalFailed(1, "busy: inputs.tar"))
    refused = await refusal(served, lambda stub: stub.remove_vm(cocos.RemoveReq(cvm_id="a")))
    assert refused.status is Status.FAILED_PRECONDITION
    assert "busy: inputs.tar" in str(refused.message)


async def test_one_that_does_not_end_in_time_is_a_refusal(supervisor: MemorySupervisor) -> None:
    defined(supervisor, msgspec.structs.replace(CONFIDENTIAL["shielded"], vm_id="a"))
    with pytest.raises(CommandDenied, match="ask again"):
        await CocosService(supervisor, 0.01).remove_vm(cocos.RemoveReq(cvm_id="a"), CALLER)


async def test_a_machine_is_described_as_it_is(
    served: Served, supervisor: MemorySupervisor
) -> None:
    state = msgspec.structs.replace(CONFIDENTIAL["shielded"], vm_id="a")
    defined(supervisor, state)
    told = await call(served, lambda stub: stub.cvm_info(cocos.CvmInfoReq(id="a")))
    assert told == cocos.CvmInfoRes(
        id="a",
        ovmf_version="amdsev",
        cpu_num=state.manifest.vm.cpus,
        cpu_type="host",
        kernel_cmd="console=ttyS0 quiet",
        eos_version="reference-base",
    )


async def test_before_its_launch_nothing_is_said_of_its_cpus(
    served: Served, supervisor: MemorySupervisor
) -> None:
    defined(supervisor, msgspec.structs.replace(CONFIDENTIAL["sealed"], vm_id="a"))
    told = await call(served, lambda stub: stub.cvm_info(cocos.CvmInfoReq(id="a")))
    assert told.cpu_type == ""


async def test_a_verifier_gets_the_facts_of_the_launch(
    served: Served, supervisor: MemorySupervisor
) -> None:
    defined(supervisor, msgspec.structs.replace(CONFIDENTIAL["awaiting"], vm_id="a"))
    request = cocos.AttestationPolicyReq(id="a")
    told = await call(served, lambda stub: stub.attestation_policy(request))
    assert told.id == "a"
    assert json.loads(told.info) == {
        "kind": "sev",
        "policy": POLICY,
        "launch": 1,
        "claims": msgspec.to_builtins(CLAIMS),
        "evidence": msgspec.to_builtins(EVIDENCE_OF_LAUNCH),
    }


PLAIN = msgspec.structs.replace(
    CONFIDENTIAL["shielded"],
    manifest=msgspec.structs.replace(CONFIDENTIAL["shielded"].manifest, confidential=None),
)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (PLAIN, "is not confidential"),
        (CONFIDENTIAL["sealed"], "was not measured yet"),
        (CONFIDENTIAL["starting"], "was not measured yet"),
    ],
)
async def test_without_a_measurement_there_is_nothing_to_expect(
    served: Served, supervisor: MemorySupervisor, state: VmState, says: str
) -> None:
    defined(supervisor, msgspec.structs.replace(state, vm_id="a"))
    request = cocos.AttestationPolicyReq(id="a")
    refused = await refusal(served, lambda stub: stub.attestation_policy(request))
    assert (refused.status, says in str(refused.message)) == (Status.FAILED_PRECONDITION, True)


IDS: list[tuple[Body, Body]] = [
    (
        lambda stub: stub.remove_vm(cocos.RemoveReq(cvm_id="nobody")),
        lambda stub: stub.remove_vm(cocos.RemoveReq()),
    ),
    (
        lambda stub: stub.cvm_info(cocos.CvmInfoReq(id="nobody")),
        lambda stub: stub.cvm_info(cocos.CvmInfoReq()),
    ),
    (
        lambda stub: stub.attestation_policy(cocos.AttestationPolicyReq(id="nobody")),
        lambda stub: stub.attestation_policy(cocos.AttestationPolicyReq()),
    ),
]


@pytest.mark.parametrize(("unknown", "missing"), IDS)
async def test_an_id_must_be_given_and_known(served: Served, unknown: Body, missing: Body) -> None:
    assert (await refusal(served, unknown)).status is Status.NOT_FOUND
    assert (await refusal(served, missing)).status is Status.INVALID_ARGUMENT


async def test_over_tcp_it_takes_the_token(served: Served, supervisor: MemorySupervisor) -> None:
    defined(supervisor, msgspec.structs.replace(CONFIDENTIAL["sealed"], vm_id="a"))

    async def info(channel: Any) -> str:
        told = await cocos.ManagerServiceStub(channel).cvm_info(cocos.CvmInfoReq(id="a"))
        return told.id

    assert await ask(str(served.tcp), TOKEN, info) == "a"
    with pytest.raises(GRPCError) as refused:
        await ask(str(served.tcp), None, info)
    assert refused.value.status is Status.UNAUTHENTICATED


async def test_a_client_of_another_make_calls_it_by_its_names(
    served: Served, supervisor: MemorySupervisor, nursery: trio.Nursery
) -> None:
    defined(supervisor, msgspec.structs.replace(CONFIDENTIAL["shielded"], vm_id="a"))
    stopped = VmStopped(1, Outcome.STOPPED_BY_CLIENT, "")
    nursery.start_soon(obey, supervisor, stopped, VmDeleted(1))
    told, removed = await asked(
        f"unix:{served.unix}",
        {"ask": "call", "of": ["manager.ManagerService/CVMInfo", {"id": "a"}]},
        {"ask": "call", "of": ["manager.ManagerService/RemoveVm", {"cvmId": "a"}]},
    )
    assert (told[0]["id"], told[0]["cpuNum"]) == ("a", 1)
    assert removed == [{}]
