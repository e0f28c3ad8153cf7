"""A daemon in memory behind a real socket: what the command line talks to in these tests.

A computation ends at once, in the way that its name says; what the daemon is asked is kept.
"""

import asyncio
import contextlib
import datetime
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chronovisor_api import v1
from grpclib import GRPCError, Status
from grpclib.server import Server
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from eventlog.checkpoint import sign_checkpoint
from eventlog.merkle import EMPTY_ROOT
from eventlog.note import Signer

START = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
RESULT = b"the archive" * 9000
CONSOLE = b"Linux version 6.1\r\n\x1b[31mred\x1b[0m\n"
TRANSCRIPT = b"""\
{"at":"2026-01-02T03:04:05.500000Z","channel":"qmp","direction":"opened"}
{"at":"2026-01-02T03:04:05.600000Z","channel":"qmp","direction":"sent","message":{"execute":"cont"}}
{"at":"2026-01-02T03:04:07.700000Z","channel":"qmp","direction":"received","message":{"event":"\\u001b"}}
{"at":"2026-01-02T03:04:07.800000Z","channel":"agent","direction":"received","omitted":70000}
{"at":"2026-01-02T03:04:0"""
"""The last line was cut off by a power cut."""
CHUNK_BYTES = 65536
SERVED_S = 60
"""A thread serves at once; this only ends what hangs."""
SIGNER = Signer("chronovisor/of-the-peer", b"\x07" * 32)


@dataclass
class MemorySupervisor(v1.SupervisorBase):
    """The service, over plain dictionaries."""

    artifacts: dict[str, bytes] = field(default_factory=dict)
    vms: dict[str, v1.Vm] = field(default_factory=dict)
    log: list[v1.Event] = field(default_factory=list)
    submissions: list[v1.SubmitComputationRequest] = field(default_factory=list)
    orders: list[object] = field(default_factory=list)
    upload_limit: int = 1 << 30
    refusal: tuple[Status, str] | None = None
    promised_sha256: str = hashlib.sha256(RESULT).hexdigest()
    verifier_key: str = str(SIGNER.verifier)
    checkpoint: str = sign_checkpoint(0, EMPTY_ROOT, SIGNER).note
    platform: v1.GetPlatformResponse = field(default_factory=v1.GetPlatformResponse)
    report: v1.GetAttestationReportResponse = field(default_factory=v1.GetAttestationReportResponse)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)

    async def upload_artifact(
        self, messages: AsyncIterator[v1.UploadArtifactRequest]
    ) -> v1.UploadArtifactResponse:
        received, content = [], b""
        async for message in messages:
            received.append(message)
            content += message.chunk
            if len(content) > self.upload_limit:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, f"at most {self.upload_limit} bytes")
        digest = hashlib.sha256(content).hexdigest()
        expect = received[0].expect
        if expect is None or (expect.sha256, expect.size) != (digest, len(content)):
            raise GRPCError(Status.INVALID_ARGUMENT, "not what was announced")
        self.artifacts[digest] = content
        return v1.UploadArtifactResponse(sha256=digest, size=len(content))

    async def submit_computation(
        self, message: v1.SubmitComputationRequest
    ) -> v1.SubmitComputationResponse:
        self._refuse()
        known = [past.idempotency_key for past in self.submissions]
        self.submissions.append(message)
        if message.idempotency_key in known:
            vm = list(self.vms.values())[known.index(message.idempotency_key)]
            return v1.SubmitComputationResponse(vm=vm, reused=True)
        vm = self.add(message.manifest or v1.Manifest(), message.vm_id)
        return v1.SubmitComputationResponse(vm=vm)

    async def get_vm(self, message: v1.GetVmRequest) -> v1.Vm:
        return self._vm(message.vm_id)

    async def list_vms(self, message: v1.ListVmsRequest) -> v1.ListVmsResponse:
        chosen = [
            vm
            for vm in self.vms.values()
            if message.labels.items() <= vm.labels.items()
            and vm.phase in (message.phases or list(v1.Phase))
        ]
        start = int(message.page_token or 0)
        page = chosen[start : start + 2]  # small pages, whatever was asked for
        more = str(start + 2) if start + 2 < len(chosen) else ""
        return v1.ListVmsResponse(vms=page, next_page_token=more)

    async def start_vm(self, message: v1.StartVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def stop_vm(self, message: v1.StopVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def kill_vm(self, message: v1.KillVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def pause_vm(self, message: v1.PauseVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def resume_vm(self, message: v1.ResumeVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def reset_vm(self, message: v1.ResetVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def delete_vm(self, message: v1.DeleteVmRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def get_platform(self, message: v1.GetPlatformRequest) -> v1.GetPlatformResponse:
        self._refuse()
        return self.platform

    async def provide_input(self, message: v1.ProvideInputRequest) -> v1.Vm:
        vm = self._obey(message, message.vm_id)
        for each in vm.inputs:
            if (each.provider, each.id) == (message.provider, message.id):
                each.sha256, each.size = message.sha256, len(self.artifacts[message.sha256])
        return vm

    async def provide_session(self, message: v1.ProvideSessionRequest) -> v1.Vm:
        return self._obey(message, message.vm_id)

    async def inject_launch_secret(self, message: v1.InjectLaunchSecretRequest) -> v1.Vm:
        packet = hashlib.sha256(message.packet_header + message.secret).hexdigest()
        return self._approved(message, message.vm_id, packet)

    async def approve_launch(self, message: v1.ApproveLaunchRequest) -> v1.Vm:
        return self._approved(message, message.vm_id, "")

    async def reject_launch(self, message: v1.RejectLaunchRequest) -> v1.Vm:
        vm = self._obey(message, message.vm_id)
        vm.phase, vm.outcome = v1.Phase.FAILED, v1.Outcome.LAUNCH_REJECTED
        return vm

    async def get_attestation_report(
        self, message: v1.GetAttestationReportRequest
    ) -> v1.GetAttestationReportResponse:
        self._obey(message, message.vm_id)
        return self.report

    def _approved(self, order: object, vm_id: str, packet_sha256: str) -> v1.Vm:
        vm = self._obey(order, vm_id)
        assert vm.launch_state is not None
        vm.phase = v1.Phase.RUNNING
        vm.launch_state.stage = v1.AttestationStage.APPROVED
        vm.launch_state.packet_sha256 = packet_sha256
        return vm

    async def get_log(self, message: v1.GetLogRequest) -> v1.Log:
        self._refuse()
        return v1.Log(
            head=len(self.log), verifier_key=self.verifier_key, checkpoint=self.checkpoint
        )

    async def watch_events(
        self, message: v1.WatchEventsRequest
    ) -> AsyncIterator[v1.WatchEventsResponse]:
        stream = f"vm/{message.vm_id}" if message.vm_id else None
        for event in self.log:
            wanted = stream in (None, event.stream) and event.type in (
                message.types or [event.type]
            )
            if event.position > message.after and wanted:
                yield v1.WatchEventsResponse(event=event)
        marker = v1.CaughtUp(log_id="log-1", position=len(self.log))
        yield v1.WatchEventsResponse(caught_up=marker)
        await self.stalled.wait()

    async def fetch_result(
        self, message: v1.FetchResultRequest
    ) -> AsyncIterator[v1.FetchResultResponse]:
        self._vm(message.vm_id)
        yield v1.FetchResultResponse(
            result=v1.Result(sha256=self.promised_sha256, size=len(RESULT))
        )
        for start in range(0, len(RESULT), CHUNK_BYTES):
            yield v1.FetchResultResponse(chunk=RESULT[start : start + CHUNK_BYTES])

    async def fetch_console(
        self, message: v1.FetchConsoleRequest
    ) -> AsyncIterator[v1.FetchConsoleResponse]:
        self._vm(message.vm_id)
        guest = message.log is v1.ConsoleLog.GUEST
        yield v1.FetchConsoleResponse(chunk=b"printed by the guest\n" if guest else CONSOLE)

    async def fetch_transcript(
        self, message: v1.FetchTranscriptRequest
    ) -> AsyncIterator[v1.FetchTranscriptResponse]:
        self._vm(message.vm_id)
        yield v1.FetchTranscriptResponse(launch=message.launch or 1)
        if message.launch in (None, 1):
            yield v1.FetchTranscriptResponse(chunk=TRANSCRIPT[:40])
            yield v1.FetchTranscriptResponse(chunk=TRANSCRIPT[40:])

    def add(self, manifest: v1.Manifest, vm_id: str | None = None) -> v1.Vm:
        """Take a computation and let it end."""
        vm = v1.Vm(
            vm_id=vm_id or f"vm-{len(self.vms) + 1}",
            name=manifest.name,
            labels=manifest.labels,
            principal="uid:0",
            launch=1,
            created_at=START,
            started_at=START,
            ended_at=START + datetime.timedelta(seconds=2),
        )
        self.vms[vm.vm_id] = vm
        self.record(vm, "vm.submitted.v1", '{"manifest":{"name":"iris"}}', 0)
        self.record(vm, "vm.guest-started.v1", '{"launch":1,"ttl_deadline_ms":1767323045000}', 1)
        self.record(vm, "vm.progress-reported.v1", '{"fraction":0.5,"message":"half"}', 1.5)
        if manifest.name == "failing":
            vm.phase, vm.outcome, vm.exit_code = v1.Phase.FAILED, v1.Outcome.COMPUTATION_FAILED, 3
            self.record(vm, "vm.failed.v1", '{"outcome":"computation-failed","detail":"oh"}', 2)
        else:
            vm.phase, vm.outcome, vm.exit_code = v1.Phase.STOPPED, v1.Outcome.COMPLETED, 0
            vm.result = v1.Result(sha256=self.promised_sha256, size=len(RESULT))
            self.record(vm, "vm.stopped.v1", '{"outcome":"completed","detail":""}', 2)
        if manifest.name == "twice":
            self.record(vm, "vm.start-ordered.v1", '{"launch":2}', 3)
            self.record(vm, "vm.stopped.v1", '{"outcome":"completed","detail":""}', 4)
        return vm

    def record(self, vm: v1.Vm, tag: str, data_json: str, seconds: float) -> None:
        """Append an event of a VM, so many seconds after the start."""
        self.log.append(
            v1.Event(
                log_id="log-1",
                node_id="node-1",
                position=len(self.log) + 1,
                stream=f"vm/{vm.vm_id}",
                version=1,
                type=tag,
                time=START + datetime.timedelta(seconds=seconds),
                data_json=data_json,
            )
        )

    def _vm(self, vm_id: str) -> v1.Vm:
        self._refuse()
        if vm_id not in self.vms:
            raise GRPCError(Status.NOT_FOUND, f"there is no VM {vm_id!r}")
        return self.vms[vm_id]

    def _obey(self, order: object, vm_id: str) -> v1.Vm:
        self.orders.append(order)
        return self._vm(vm_id)

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise GRPCError(*self.refusal)


@dataclass
class Peer:
    """A served :class:`MemorySupervisor`; ``state_dir`` is what the command line is told."""

    state_dir: Path
    supervisor: MemorySupervisor


@contextlib.contextmanager
def serving(
    state_dir: Path, broken_connections: int = 0, supervisor: MemorySupervisor | None = None
) -> Iterator[Peer]:
    """Serve in a thread; the first ``broken_connections`` are cut when they ask for something.

    ``supervisor`` is one that knows something before anybody can ask it.
    """
    served: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    supervisor, is_served = supervisor or MemorySupervisor(), threading.Event()

    async def serve() -> None:
        ended = asyncio.Event()
        server = Server([supervisor])
        await server.start(path=str(state_dir / "behind.sock"))
        clients = _Front(state_dir / "behind.sock", broken_connections)
        front = await asyncio.start_unix_server(clients.pass_on, state_dir / "grpc.sock")
        served.append((asyncio.get_running_loop(), ended))
        is_served.set()
        await ended.wait()
        supervisor.stalled.set()
        front.close()
        clients.hang_up()  # from Python 3.12 on, servers wait for them
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert is_served.wait(SERVED_S)
    try:
        yield Peer(state_dir, supervisor)
    finally:
        loop, ended = served[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join()


class _Front:
    """Passes bytes on between a client and the server behind, after it has cut some clients."""

    def __init__(self, behind: Path, to_cut: int) -> None:
        self._behind, self._to_cut = behind, to_cut
        self._connections: set[asyncio.Task[None]] = set()

    def hang_up(self) -> None:
        """End every connection that there is."""
        for connection in self._connections:
            connection.cancel()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._to_cut:
            self._to_cut -= 1
            await _cut(reader, writer)
            return
        there = await asyncio.open_unix_connection(self._behind)
        copying = asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        connection = asyncio.ensure_future(_settled(copying))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        await connection


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hear a request, and hang up instead of an answer."""
    heard = H2Connection(H2Configuration(client_side=False))
    heard.initiate_connection()
    writer.write(heard.data_to_send())
    while data := await reader.read(CHUNK_BYTES):
        if any(isinstance(event, RequestReceived) for event in heard.receive_data(data)):
            break
    writer.close()


async def _settled(copying: "asyncio.Future[tuple[None, None]]") -> None:
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        await copying


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
