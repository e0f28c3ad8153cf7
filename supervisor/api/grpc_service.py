"""``chronovisor.v1.Supervisor``, one method a call: translate, ask the daemon, translate back.

The methods are Trio code and know nothing of gRPC's transport; the bridge calls them with a message
(or an iterator of them) and the caller, and sends what they return or yield.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from chronovisor_api import v1

from supervisor.api import files, launch_requests, listing, subscription, uploads, wire
from supervisor.api.encoded import Encoded
from supervisor.api.grpc_encoding import encode
from supervisor.api.ports import Supervisor
from supervisor.api.refusals import mismatches_named, refuse, required
from supervisor.api.scope import SeenBy, seen_by
from supervisor.api.subscription import Item
from supervisor.api.wire_confidential import from_platform, from_report
from supervisor.api.wire_events import from_item, to_subscription
from supervisor.api.wire_manifest import to_manifest
from supervisor.caller import Caller
from supervisor.vm.commands import Command, Delete, Kill, Pause, Reset, Resume, Start, Stop
from supervisor.vm.field_rules import check_digest
from supervisor.vm.inputs import InputName
from supervisor.vm.rules import check_idempotency_key, check_stop_grace, check_vm_id
from supervisor.vm.state import ENDED, VmState


class SupervisorService:
    """The service on top of the daemon."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._watched = Encoded(self._encode)

    async def upload_artifact(
        self, messages: AsyncIterator[v1.UploadArtifactRequest], caller: Caller
    ) -> v1.UploadArtifactResponse:
        """Store a file under its digest."""
        upload = await uploads.begin(messages)
        with mismatches_named("expect.sha256"):
            async with aclosing(upload.chunks()) as chunks:
                supervisor = self._for(caller)
                stored = await supervisor.upload(chunks, sha256=upload.sha256, caller=caller)
        return v1.UploadArtifactResponse(sha256=stored.sha256, size=stored.size)

    async def submit_computation(
        self, request: v1.SubmitComputationRequest, caller: Caller
    ) -> v1.SubmitComputationResponse:
        """Accept a computation."""
        refuse(check_idempotency_key(request.idempotency_key))
        refuse(() if request.vm_id is None else check_vm_id(request.vm_id))
        manifest, key = to_manifest(request.manifest), request.idempotency_key
        submitted = await self._for(caller).submit(
            manifest, key=key, vm_id=request.vm_id, caller=caller
        )
        vm = self._present(submitted.state)
        return v1.SubmitComputationResponse(vm=vm, reused=submitted.reused)

    async def get_vm(self, request: v1.GetVmRequest, caller: Caller) -> v1.Vm:
        """Read one VM."""
        return self._present(self._for(caller).get(required("vm_id", request.vm_id)))

    async def list_vms(self, request: v1.ListVmsRequest, caller: Caller) -> bytes:
        """Read a page of VMs."""
        return listing.page(self._for(caller).list(), request, self._present)

    async def start_vm(self, request: v1.StartVmRequest, caller: Caller) -> v1.Vm:
        """Launch a VM once more."""
        return await self._command(request.vm_id, Start(), caller)

    async def stop_vm(self, request: v1.StopVmRequest, caller: Caller) -> v1.Vm:
        """End a VM in good order."""
        if request.grace_ms is not None:
            refuse(check_stop_grace(request.grace_ms))
        return await self._command(request.vm_id, Stop(request.grace_ms), caller)

    async def kill_vm(self, request: v1.KillVmRequest, caller: Caller) -> v1.Vm:
        """End a VM at once."""
        return await self._command(request.vm_id, Kill(), caller)

    async def delete_vm(self, request: v1.DeleteVmRequest, caller: Caller) -> v1.Vm:
        """Remove what is left of a VM."""
        return await self._command(request.vm_id, Delete(), caller)

    async def pause_vm(self, request: v1.PauseVmRequest, caller: Caller) -> v1.Vm:
        """Freeze a guest."""
        return await self._command(request.vm_id, Pause(), caller)

    async def resume_vm(self, request: v1.ResumeVmRequest, caller: Caller) -> v1.Vm:
        """Let a guest run on."""
        return await self._command(request.vm_id, Resume(), caller)

    async def reset_vm(self, request: v1.ResetVmRequest, caller: Caller) -> v1.Vm:
        """Boot a guest again."""
        return await self._command(request.vm_id, Reset(), caller)

    async def get_platform(
        self, request: v1.GetPlatformRequest, caller: Caller
    ) -> v1.GetPlatformResponse:
        """Say which secure processor the host has, or why none can be used."""
        return from_platform(await self._supervisor.platform())

    async def provide_session(self, request: v1.ProvideSessionRequest, caller: Caller) -> v1.Vm:
        """Keep an owner's session for a VM's next launch."""
        vm_id, session = required("vm_id", request.vm_id), launch_requests.session_of(request)
        return self._present(await self._for(caller).provide_session(vm_id, session, caller))

    async def provide_input(self, request: v1.ProvideInputRequest, caller: Caller) -> v1.Vm:
        """Bring an input from its provider."""
        vm_id, sha256 = required("vm_id", request.vm_id), request.sha256
        name = InputName(required("provider", request.provider), required("id", request.id))
        refuse(tuple(check_digest("sha256", sha256)))
        return self._present(await self._for(caller).provide_input(vm_id, name, sha256, caller))

    async def inject_launch_secret(
        self, request: v1.InjectLaunchSecretRequest, caller: Caller
    ) -> v1.Vm:
        """Hand an owner's secret to a launch, and let it run."""
        return await self._command(request.vm_id, launch_requests.secret_of(request), caller)

    async def approve_launch(self, request: v1.ApproveLaunchRequest, caller: Caller) -> v1.Vm:
        """Let a launch run without a secret."""
        return await self._command(request.vm_id, launch_requests.approval_of(request), caller)

    async def reject_launch(self, request: v1.RejectLaunchRequest, caller: Caller) -> v1.Vm:
        """End a launch that is not the owner's guest."""
        return await self._command(request.vm_id, launch_requests.rejection_of(request), caller)

    async def get_attestation_report(
        self, request: v1.GetAttestationReportRequest, caller: Caller
    ) -> v1.GetAttestationReportResponse:
        """Have the secure processor report on a guest that runs."""
        vm_id, nonce = required("vm_id", request.vm_id), request.nonce
        launch_requests.check_nonce(nonce, self._for(caller).get(vm_id).manifest.confidential)
        return from_report(await self._for(caller).report(vm_id, nonce, caller))

    async def _command(self, vm_id: str, command: Command, caller: Caller) -> v1.Vm:
        required("vm_id", vm_id)
        return self._present(await self._for(caller).command(vm_id, command, caller))

    def _for(self, caller: Caller) -> SeenBy:
        return seen_by(self._supervisor, caller)

    def _present(self, state: VmState) -> v1.Vm:
        return wire.from_state(state, self._supervisor.queue_position(state.vm_id))

    async def watch_events(
        self, request: v1.WatchEventsRequest, caller: Caller
    ) -> AsyncGenerator[list[bytes], None]:
        """Replay the log, then follow it: what there is at a time, encoded for all who watch."""
        wanted = to_subscription(request)
        sees = self._for(caller).sight(wanted.vm_id)
        matching = await subscription.begin(wanted, self._supervisor.log, sees)
        while True:
            yield [self._watched(item) for item in await matching.take()]

    def _encode(self, item: Item) -> bytes:
        log = self._supervisor.log
        return encode(from_item(item, log_id=log.log_id, node_id=log.node_id))

    async def get_log(self, request: v1.GetLogRequest, caller: Caller) -> v1.Log:
        """Say which log this is, and sign what it holds by now."""
        signed = await self._supervisor.checkpoints.fresh()
        log = self._supervisor.log
        return v1.Log(
            log_id=log.log_id,
            node_id=log.node_id,
            head=log.head,
            verifier_key=self._supervisor.checkpoints.verifier_key,
            checkpoint=signed.note,
        )

    async def fetch_result(
        self, request: v1.FetchResultRequest, caller: Caller
    ) -> AsyncGenerator[v1.FetchResultResponse, None]:
        """Download a result."""
        path, result = self._for(caller).open_result(required("vm_id", request.vm_id), caller)
        whole = v1.Result(sha256=result.sha256, size=result.size)
        yield v1.FetchResultResponse(result=whole)
        async with aclosing(files.read_exactly(path, result.size)) as chunks:
            async for chunk in chunks:
                yield v1.FetchResultResponse(chunk=chunk)

    async def fetch_console(
        self, request: v1.FetchConsoleRequest, caller: Caller
    ) -> AsyncGenerator[v1.FetchConsoleResponse, None]:
        """Read a log of a guest."""
        vm_id, launch = required("vm_id", request.vm_id), request.launch
        seen = self._for(caller)
        locate = wire.console(request.log, seen)

        def is_final() -> bool:
            state = seen.get(vm_id)
            over = launch is not None and launch < state.launch_number
            return not request.follow or over or state.phase in ENDED

        text = files.read_growing(lambda: locate(vm_id, launch), is_final)
        with files.deny_unreadable(f"what the guest of VM {vm_id!r} wrote"):
            async with aclosing(text) as chunks:
                async for chunk in chunks:
                    yield v1.FetchConsoleResponse(chunk=chunk)

    async def fetch_transcript(
        self, request: v1.FetchTranscriptRequest, caller: Caller
    ) -> AsyncGenerator[v1.FetchTranscriptResponse, None]:
        """Read what was said between the daemon and QEMU."""
        vm_id = required("vm_id", request.vm_id)
        with files.deny_unreadable(f"the transcript of VM {vm_id!r}"):
            found = await self._for(caller).transcript(vm_id, request.launch)
        yield v1.FetchTranscriptResponse(launch=found.launch)
        for start in range(0, len(found.content), files.CHUNK_BYTES):
            chunk = found.content[start : start + files.CHUNK_BYTES]
            yield v1.FetchTranscriptResponse(chunk=chunk)
