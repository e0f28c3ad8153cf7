"""What is asked of one VM: to start, to end, to pause, to go away.

Each method returns the VM once the order is durable, which is before it is obeyed.
"""

from chronovisor_api import v1
from chronovisor_api.calls import Calls


class Orders(Calls):
    """The orders of a client."""

    async def start(self, vm_id: str) -> v1.Vm:
        """Launch a VM once more that has ended, or that waits for its next launch.

        It is sent once: where its answer is lost, look at the VM.
        """
        return await self._answer_to_one(self.supervisor.start_vm, v1.StartVmRequest(vm_id))

    async def stop(self, vm_id: str, *, grace_ms: int | None = None) -> v1.Vm:
        """End a VM in good order; without ``grace_ms``, within the grace of its manifest."""
        return await self._answer(self.supervisor.stop_vm, v1.StopVmRequest(vm_id, grace_ms))

    async def kill(self, vm_id: str) -> v1.Vm:
        """End a VM at once, without asking the guest."""
        return await self._answer(self.supervisor.kill_vm, v1.KillVmRequest(vm_id))

    async def delete(self, vm_id: str) -> v1.Vm:
        """Remove the files of a VM that has ended. Once it is deleted, Refused says VM_UNKNOWN."""
        return await self._answer(self.supervisor.delete_vm, v1.DeleteVmRequest(vm_id))

    async def pause(self, vm_id: str) -> v1.Vm:
        """Freeze a guest's CPUs; its deadlines keep running."""
        return await self._answer(self.supervisor.pause_vm, v1.PauseVmRequest(vm_id))

    async def resume(self, vm_id: str) -> v1.Vm:
        """Let a paused guest run on."""
        return await self._answer(self.supervisor.resume_vm, v1.ResumeVmRequest(vm_id))

    async def reset(self, vm_id: str) -> v1.Vm:
        """Press the reset button. It is sent once: where its answer is lost, read the events."""
        return await self._answer_to_one(self.supervisor.reset_vm, v1.ResetVmRequest(vm_id))
