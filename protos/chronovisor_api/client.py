"""The daemon as an asyncio program sees it: calls and watches that outlive its restarts.

See docs/python-client.md.
"""

import secrets
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import replace

from chronovisor_api import v1
from chronovisor_api.events import Events
from chronovisor_api.files import Files
from chronovisor_api.launches import Launches
from chronovisor_api.orders import Orders

OVER = frozenset({v1.Phase.STOPPED, v1.Phase.FAILED, v1.Phase.DELETED})
END_TYPES = ("vm.stopped.v1", "vm.failed.v1", "vm.deleted.v1")

PAGE_SIZE = 500
"""VMs an answer of a list; the daemon gives at most 1000."""


class Client(Orders, Launches, Files, Events):
    """A connection to the daemon at ``target``: ``unix:PATH`` or ``HOST:PORT`` with a token.

    ``async with`` opens and closes it. Every method raises Refused if the daemon says no, and
    Unreachable if it did not answer for ``patience_s`` seconds, or for ``first_patience_s`` if it
    was not there when the method was called. ``at_once()`` is the same connection without any
    patience; ``supervisor`` has the calls as they are on the wire.
    """

    async def submit(
        self, manifest: v1.Manifest, *, idempotency_key: str | None = None, vm_id: str | None = None
    ) -> v1.Vm:
        """Have a computation accepted; return its VM.

        The same key gives the same VM again, also to another process; without one, each call of
        this method is a submission of its own.
        """
        answer = await self.submission(manifest, idempotency_key=idempotency_key, vm_id=vm_id)
        return answer.vm or v1.Vm()

    async def submission(
        self, manifest: v1.Manifest, *, idempotency_key: str | None = None, vm_id: str | None = None
    ) -> v1.SubmitComputationResponse:
        """Submit, and return also whether the key was known already."""
        key = idempotency_key or secrets.token_hex(16)
        request = v1.SubmitComputationRequest(manifest, key, vm_id)
        return await self._answer(self.supervisor.submit_computation, request)

    async def provide(
        self, vm_id: str, sha256: str, *, provider: str, input_id: str = "algorithm"
    ) -> v1.Vm:
        """Give a VM an input that it waits for: what :meth:`upload` stored under ``sha256``.

        ``input_id`` is its id in the manifest, or else a dataset's name, or ``algorithm``.
        """
        request = v1.ProvideInputRequest(vm_id=vm_id, provider=provider, id=input_id, sha256=sha256)
        return await self._answer(self.supervisor.provide_input, request)

    async def get(self, vm_id: str) -> v1.Vm:
        """Read one VM."""
        return await self._answer(self.supervisor.get_vm, v1.GetVmRequest(vm_id))

    async def list(
        self, *, labels: Mapping[str, str] | None = None, phases: Collection[v1.Phase] = ()
    ) -> AsyncGenerator[v1.Vm, None]:
        """Yield the VMs with all these labels, in one of these phases, by their ids."""
        request = v1.ListVmsRequest(
            labels=dict(labels or {}), phases=[*phases], page_size=PAGE_SIZE
        )
        while True:
            page = await self._answer(self.supervisor.list_vms, request)
            for vm in page.vms:
                yield vm
            if not page.next_page_token:
                return
            request = replace(request, page_token=page.next_page_token)

    async def wait(self, vm_id: str) -> v1.Vm:
        """Return a VM once it has ended and is not started again."""
        vm = await self.get(vm_id)
        async with aclosing(self.watch(vm_id=vm_id, types=END_TYPES)) as ends:
            while vm.phase not in OVER:
                await anext(ends)
                vm = await self.get(vm_id)
        return vm
