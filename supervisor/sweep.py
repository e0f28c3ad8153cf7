"""After the recovery: what runs on this host in our name and belongs to no VM of the log.

It has the UUID or the lock of a launch, or is the very process that the log has of one.

Every such process is told, in the log and to the operator. Only one that is proven to be a launch
of ours that is over is ended; see :mod:`supervisor.host.orphans`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain, islice
from pathlib import Path

import trio

from supervisor.admission.events import Event, OrphanEnded, OrphanFound, OrphanVerdict
from supervisor.host.orphans import Claim, Orphan, end, is_proven, survivors, suspects
from supervisor.registry import Registry
from supervisor.vm.observations import ProcessIdentity
from supervisor.vm.qemu_argv import launch_uuid
from supervisor.vm.state import VmState

logger = logging.getLogger(__name__)

TOLD_MAX = 100
"""Orphans of one sweep; a host with more has another trouble than each single one."""


class Sweep:
    """Looks for orphans once; ``was_deleted`` tells of ids whose VMs are gone from the log."""

    def __init__(
        self,
        vms: Path,
        boot_id: str,
        registry: Registry,
        was_deleted: Callable[[str], bool],
        record: Callable[[Event], Awaitable[object]],
    ) -> None:
        self._vms = vms.resolve()
        self._boot_id = boot_id
        self._registry = registry
        self._was_deleted = was_deleted
        self._record = record

    async def run(self) -> None:
        """Tell of every orphan; end those that are ours."""
        states = {state.vm_id: state for state in self._registry.states()}
        found = await trio.to_thread.run_sync(self._look, states)
        lost = (orphan for orphan in found.values() if not self._is_attended(orphan))
        for orphan in islice(lost, TOLD_MAX):
            await self._attend_to(orphan)

    def _look(self, states: Mapping[str, VmState]) -> dict[int, Orphan]:
        survived = survivors(self._vms, _processes(states, self._boot_id))
        suspected = suspects(self._vms, lambda: _launches(states))
        return {orphan.pid: orphan for orphan in chain(survived, suspected)}

    async def _attend_to(self, orphan: Orphan) -> None:
        ours = is_proven(orphan, self._vms) and self._is_over(orphan.claim)
        verdict = OrphanVerdict.OURS if ours else OrphanVerdict.STRANGER
        vm_id, launch = orphan.vm_id, orphan.launch
        await self._record(
            OrphanFound(orphan.pid, orphan.uuid, vm_id, launch, verdict, orphan.evidence)
        )
        what = f"process {orphan.pid} looks like launch {launch} of VM {vm_id or '?'}"
        told = ", ".join(orphan.evidence)
        if not ours:
            logger.warning("%s, but no VM has it: left alone (%s)", what, told)
            return
        logger.warning("%s, which is over: it is ended (%s)", what, told)
        if signal := await end(orphan, self._vms):
            await self._record(OrphanEnded(orphan.pid, vm_id, launch, signal))

    def _is_attended(self, orphan: Orphan) -> bool:
        """Whether it is the process of a VM, or may turn out to be."""
        if self._registry.is_set_aside(orphan.vm_id):
            return True
        state = self._registry.find(orphan.vm_id)
        if state is None or not state.has_process or state.launch_number != orphan.launch:
            return False
        known = state.current.process
        return known is None or known.pid == orphan.pid

    def _is_over(self, claim: Claim | None) -> bool:
        if claim is None:
            return False
        if (state := self._registry.find(claim.vm_id)) is None:
            return self._was_deleted(claim.vm_id)
        if claim.launch == state.launch_number:
            return not state.has_process
        return claim.launch < state.launch_number


def _processes(states: Mapping[str, VmState], boot_id: str) -> dict[ProcessIdentity, Claim]:
    """Return the process of every VM's latest launch, so far as it was of this boot."""
    return {
        process: Claim(vm_id, state.launch_number)
        for vm_id, state in states.items()
        if state.launch and (process := state.launch.process) and process.boot_id == boot_id
    }


def _launches(states: Mapping[str, VmState]) -> dict[str, Claim]:
    """Return every launch that the VMs of the log ever had, by its UUID."""
    return {
        launch_uuid(vm_id, number): Claim(vm_id, number)
        for vm_id, state in states.items()
        for number in range(1, state.launch_number + 1)
    }
