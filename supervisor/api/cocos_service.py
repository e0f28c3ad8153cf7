"""``manager.ManagerService``, the gRPC service of the Cocos manager, on top of the daemon.

One method a call, as in :mod:`.grpc_service`; what is asked is translated by
:mod:`supervisor.cocos`. Where the older manager did several things at once, so do these: they order
one after the other, and wait for the log to say that it happened.
"""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec
import trio
from chronovisor_api import cocos

from eventlog import CaughtUp
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import refuse, required
from supervisor.api.scope import seen_by
from supervisor.caller import Caller
from supervisor.cocos.attestation_policy import policy_of
from supervisor.cocos.machine import KERNEL, ROOTFS, AgentConfig, machine, violations
from supervisor.journal import decode, vm_stream
from supervisor.schema import TAGS, AnyEvent
from supervisor.vm.commands import CommandDenied, Delete, DenyReason, Stop
from supervisor.vm.events import LaunchIntended, RemovalFailed, VmDeleted, VmFailed, VmStopped
from supervisor.vm.qemu_argv import cpu_model, kernel_command_line
from supervisor.vm.spec import ByName, ImageRef, Manifest
from supervisor.vm.state import ENDED, Phase

PATIENCE_S = 45.0
"""Clients of the older manager wait for 60 s; they are to hear what became of their call."""

AWAITED = frozenset(
    TAGS[kind] for kind in (LaunchIntended, VmStopped, VmFailed, RemovalFailed, VmDeleted)
)
"""The types of the events that a call may wait for."""

T = TypeVar("T")


class CocosService:
    """Machines whose guests bring an agent of their own."""

    def __init__(self, supervisor: Supervisor, patience_s: float = PATIENCE_S) -> None:
        self._supervisor = supervisor
        self._patience_s = patience_s

    async def create_vm(self, request: cocos.CreateReq, caller: Caller) -> cocos.CreateRes:
        """Launch a machine; answer when the port of its agent is known."""
        config = _config(request)
        refuse(tuple(violations(config, request.ttl)))
        manifest = machine(config, await self._store(config, caller), request.ttl)
        head = self._supervisor.log.head
        vm_id = await self._submit(manifest, caller)
        with trio.move_on_after(self._patience_s):
            port = await self._heard(vm_id, head, _port_or_end)
            return cocos.CreateRes(forwarded_port=str(port), cvm_id=vm_id)
        await self._remove(vm_id, caller)
        late = f"no turn to launch came within {self._patience_s:.0f} s, and the VM was removed"
        raise CommandDenied(DenyReason.TOO_MANY_VMS, f"{late}; try again later")

    async def remove_vm(self, request: cocos.RemoveReq, caller: Caller) -> cocos.Empty:
        """Stop a machine and delete its files."""
        await self._remove(required("cvm_id", request.cvm_id), caller)
        return cocos.Empty()

    async def cvm_info(self, request: cocos.CvmInfoReq, caller: Caller) -> cocos.CvmInfoRes:
        """Say what a machine is made of."""
        state = seen_by(self._supervisor, caller).get(required("id", request.id))
        shape, launch = state.manifest.vm, state.launch
        return cocos.CvmInfoRes(
            id=state.vm_id,
            ovmf_version=_named(shape.firmware),
            cpu_num=shape.cpus,
            cpu_type=cpu_model(launch.accel) if launch else "",
            kernel_cmd=kernel_command_line(shape),
            eos_version="+".join(_named(layer) for layer in shape.initrd),
        )

    async def attestation_policy(
        self, request: cocos.AttestationPolicyReq, caller: Caller
    ) -> cocos.AttestationPolicyRes:
        """Say what a verifier of a confidential machine has to expect."""
        state = seen_by(self._supervisor, caller).get(required("id", request.id))
        asked, launch = state.manifest.confidential, state.launch
        if asked is None:
            detail = f"VM {state.vm_id!r} is not confidential: nothing vouches for its launch"
            raise CommandDenied(DenyReason.NOT_CONFIDENTIAL, detail)
        if launch is None or launch.evidence is None:
            detail = f"VM {state.vm_id!r} is in phase {state.phase.value} and was not measured yet"
            raise CommandDenied(DenyReason.WRONG_PHASE, detail)
        info = msgspec.json.encode(policy_of(asked, launch))
        return cocos.AttestationPolicyRes(info=info, id=state.vm_id)

    async def _store(self, config: AgentConfig, caller: Caller) -> dict[str, str]:
        stored: dict[str, str] = {}
        for name, content in config.files.items():
            kept = await self._supervisor.upload(_whole(content), sha256=None, caller=caller)
            stored[name] = kept.sha256
        return stored

    async def _submit(self, manifest: Manifest, caller: Caller) -> str:
        try:
            # Their call has no key: each is a machine of its own.
            key = uuid.uuid4().hex
            taken = await self._supervisor.submit(manifest, key=key, vm_id=None, caller=caller)
        except CommandDenied as denied:
            if denied.reason is not DenyReason.IMAGE_UNKNOWN:
                raise
            fix = f"enter the guest's kernel as {KERNEL!r} and its root filesystem as {ROOTFS!r}"
            detail = f"{denied.detail}; {fix}, as docs/cocos.md says"
            raise CommandDenied(denied.reason, detail, denied.violations) from None
        return taken.state.vm_id

    async def _remove(self, vm_id: str, caller: Caller) -> None:
        with trio.move_on_after(self._patience_s):
            await self._end(vm_id, caller)
            await self._delete(vm_id, caller)
            return
        detail = f"VM {vm_id!r} was told to go, and is not gone yet; ask again"
        raise CommandDenied(DenyReason.WRONG_PHASE, detail)

    async def _end(self, vm_id: str, caller: Caller) -> None:
        head = self._supervisor.log.head
        state = seen_by(self._supervisor, caller).get(vm_id)
        if state.phase not in ENDED:
            state = await self._supervisor.command(vm_id, Stop(grace_ms=0), caller)
        if state.phase not in ENDED:
            await self._heard(vm_id, head, _is_over)

    async def _delete(self, vm_id: str, caller: Caller) -> None:
        head = self._supervisor.log.head
        state = await self._supervisor.command(vm_id, Delete(), caller)
        if state.phase is not Phase.DELETED:
            await self._heard(vm_id, head, _is_gone)

    async def _heard(self, vm_id: str, after: int, wanted: Callable[[AnyEvent], T | None]) -> T:
        """Return what ``wanted`` first makes of an event of this VM."""
        stream = vm_stream(vm_id)
        async for item in self._supervisor.log.subscribe(after):
            if isinstance(item, CaughtUp) or item.stream != stream or item.type not in AWAITED:
                continue
            if (found := wanted(decode(item))) is not None:
                return found
        raise AssertionError("a subscription has no end")


def _config(request: cocos.CreateReq) -> AgentConfig:
    return AgentConfig(
        log_level=request.agent_log_level,
        server_url=request.agent_cvm_server_url,
        ca_url=request.agent_cvm_ca_url,
        server_ca_cert=request.agent_cvm_server_ca_cert,
        client_cert=request.agent_cvm_client_cert,
        client_key=request.agent_cvm_client_key,
    )


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _port_or_end(event: AnyEvent) -> int | None:
    """Return the port of the agent. Raises CommandDenied where there will be none."""
    match event:
        case LaunchIntended(host_ports=(port, *_)):
            return port
        case VmFailed() | VmStopped():
            detail = f"the VM ended before it was launched: {event.detail}"
            raise CommandDenied(DenyReason.WRONG_PHASE, detail)
        case _:
            return None


def _is_over(event: AnyEvent) -> bool | None:
    return True if isinstance(event, VmStopped | VmFailed) else None


def _is_gone(event: AnyEvent) -> bool | None:
    """Return whether the files are gone. Raises CommandDenied where something holds them."""
    if isinstance(event, RemovalFailed):
        detail = f"its files cannot be removed, which is tried again by itself: {event.detail}"
        raise CommandDenied(DenyReason.WRONG_PHASE, detail)
    return True if isinstance(event, VmDeleted) else None


def _named(image: ImageRef | None) -> str:
    if image is None:
        return ""
    return image.name if isinstance(image, ByName) else f"sha256:{image.sha256}"
