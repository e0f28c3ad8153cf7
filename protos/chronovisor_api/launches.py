"""What an owner of confidential guests asks: which processor, which session, and may it run.

Nothing of an answer is proven until its owner has verified it.
"""

from chronovisor_api import v1
from chronovisor_api.calls import Calls

REPORT_SECONDS = 40.0
"""The daemon gives the secure processor, or the guest's agent, 30 seconds."""


class Launches(Calls):
    """The owner's part of a launch. A launch is named by its VM, its number and its measurement."""

    async def platform(self) -> v1.GetPlatformResponse:
        """Read which secure processor the host has, or why none can be used."""
        return await self._answer(self.supervisor.get_platform, v1.GetPlatformRequest())

    async def provide_session(self, vm_id: str, session: v1.GuestSession) -> v1.Vm:
        """Give a VM the owner's session for its next launch."""
        request = v1.ProvideSessionRequest(vm_id=vm_id, session=session)
        return await self._answer(self.supervisor.provide_session, request)

    async def inject_secret(
        self, vm_id: str, *, launch: int, measurement: bytes, packet_header: bytes, secret: bytes
    ) -> v1.Vm:
        """Hand a sealed packet to a launch that was verified, and let it run."""
        request = v1.InjectLaunchSecretRequest(
            vm_id=vm_id,
            launch=launch,
            measurement=measurement,
            packet_header=packet_header,
            secret=secret,
        )
        return await self._answer(self.supervisor.inject_launch_secret, request)

    async def approve(self, vm_id: str, *, launch: int, measurement: bytes) -> v1.Vm:
        """Let a launch that was verified run without a secret."""
        request = v1.ApproveLaunchRequest(vm_id=vm_id, launch=launch, measurement=measurement)
        return await self._answer(self.supervisor.approve_launch, request)

    async def reject(self, vm_id: str, *, launch: int, reason: str = "") -> v1.Vm:
        """End a launch that is not the owner's guest."""
        request = v1.RejectLaunchRequest(vm_id=vm_id, launch=launch, reason=reason)
        return await self._answer(self.supervisor.reject_launch, request)

    async def report(self, vm_id: str, nonce: bytes) -> v1.GetAttestationReportResponse:
        """Have the secure processor report on a guest that runs; ``nonce`` is new and random."""
        request = v1.GetAttestationReportRequest(vm_id=vm_id, nonce=nonce)
        method = self.supervisor.get_attestation_report
        return await self._answer(method, request, seconds=REPORT_SECONDS)
