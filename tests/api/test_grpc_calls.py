"""Every call, with a real client, over both transports."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from chronovisor_api import v1
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from eventlog.checkpoint import open_checkpoint
from eventlog.note import parse_verifier
from supervisor.api.grpc_call import CallBounds
from supervisor.caller import Caller
from supervisor.vm.commands import Command, Delete, Kill, Pause, Reset, Resume, Start, Stop
from supervisor.vm.state import Phase
from tests.api.conftest import TOKEN, Served, ask, eventually, start_grpc
from tests.api.memory_supervisor import MemorySupervisor

DIGEST = "b" * 64
CLIENT_BYTES = 4 * 1024 * 1024
"""What a client of gRPC takes in a message unless it was told otherwise."""
MANY_TYPES = tuple(f"type-{number}" for number in range(65))


def a_manifest(name: str = "iris", **labels: str) -> v1.Manifest:
    return v1.Manifest(name=name, algorithm=v1.Algorithm(sha256=DIGEST), labels=labels)


def a_submission(key: str = "key", vm_id: str | None = None) -> v1.SubmitComputationRequest:
    return v1.SubmitComputationRequest(manifest=a_manifest(), idempotency_key=key, vm_id=vm_id)


async def submitted(served: Served, vm_id: str = "a", **labels: str) -> v1.Vm:
    request = v1.SubmitComputationRequest(
        manifest=a_manifest(**labels), idempotency_key=vm_id, vm_id=vm_id
    )
    answer = await served.ask(lambda stub: stub.submit_computation(request))
    assert answer.vm is not None
    return answer.vm


async def refusal(served: Served, body: Callable[[v1.SupervisorStub], Awaitable[Any]]) -> GRPCError:
    with pytest.raises(GRPCError) as refused:
        await served.ask(body)
    return refused.value


async def test_a_submission_is_accepted_once_per_key(served: Served) -> None:
    async def twice(stub: v1.SupervisorStub) -> list[v1.SubmitComputationResponse]:
        return [await stub.submit_computation(a_submission("key", "mine")) for _ in range(2)]

    first, second = await served.ask(twice)
    assert first.vm is not None
    assert second.vm is not None
    assert (first.vm.vm_id, first.reused) == ("mine", False)
    assert (second.vm.vm_id, second.reused) == ("mine", True)


async def test_a_vm_shows_who_submitted_it_and_every_default(served: Served) -> None:
    vm = await served.ask_tcp(TOKEN, lambda stub: stub.submit_computation(a_submission()))
    assert vm.vm is not None
    assert (vm.vm.principal, vm.vm.tenant) == ("token:default", "default")
    assert vm.vm.phase is v1.Phase.DEFINED
    assert vm.vm.outcome is v1.Outcome.UNSPECIFIED
    assert vm.vm.exit_code is None
    manifest = vm.vm.manifest
    assert manifest is not None
    assert manifest.vm is not None
    assert manifest.limits is not None
    assert manifest.vm.machine is v1.Machine.Q35
    assert manifest.vm.initrd[0].name == "reference-base"
    assert manifest.limits.ttl_ms == 3_600_000


async def test_the_caller_reaches_the_daemon(served: Served, supervisor: MemorySupervisor) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    await served.ask(
        lambda stub: stub.submit_computation(a_submission(), metadata={"traceparent": trace})
    )
    (caller,) = supervisor.callers
    assert caller.principal.startswith("uid:")
    assert caller.traceparent == trace
    assert len(caller.command_id) == 32


async def test_one_vm_is_read_by_its_id(served: Served) -> None:
    await submitted(served, "a")
    vm = await served.ask(lambda stub: stub.get_vm(v1.GetVmRequest(vm_id="a")))
    assert vm.vm_id == "a"


async def test_a_vm_that_is_not_there_is_not_found(served: Served) -> None:
    refused = await refusal(served, lambda stub: stub.get_vm(v1.GetVmRequest(vm_id="b")))
    assert refused.status is Status.NOT_FOUND


async def test_a_missing_vm_id_is_named(served: Served) -> None:
    for body in (
        lambda stub: stub.get_vm(v1.GetVmRequest()),
        lambda stub: stub.kill_vm(v1.KillVmRequest()),
        lambda stub: everything(stub.fetch_result(v1.FetchResultRequest())),
    ):
        refused = await refusal(served, body)
        assert refused.status is Status.INVALID_ARGUMENT
        assert refused.message == "vm_id: is missing"


async def test_pages_hold_every_vm_once(served: Served) -> None:
    for vm_id in "abcde":
        await submitted(served, vm_id)

    async def pages(stub: v1.SupervisorStub) -> list[list[str]]:
        token, found = "", []
        while True:
            request = v1.ListVmsRequest(page_size=2, page_token=token)
            page = await stub.list_vms(request)
            found.append([vm.vm_id for vm in page.vms])
            token = page.next_page_token
            if not token:
                return found

    assert await served.ask(pages) == [["a", "b"], ["c", "d"], ["e"]]


async def test_pages_of_long_manifests_have_room_in_a_message_of_any_client(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a")
    long = msgspec.structs.replace(supervisor.vms["a"].manifest, description="x" * 40_000)
    state = msgspec.structs.replace(supervisor.vms.pop("a"), manifest=long)
    ids = [f"vm-{number:03}" for number in range(250)]
    for vm_id in ids:
        supervisor.vms[vm_id] = msgspec.structs.replace(state, vm_id=vm_id)

    async def pages(stub: v1.SupervisorStub) -> list[v1.ListVmsResponse]:
        found = [await stub.list_vms(v1.ListVmsRequest(page_size=1000))]
        while token := found[-1].next_page_token:
            found.append(await stub.list_vms(v1.ListVmsRequest(page_size=1000, page_token=token)))
        return found

    found = await served.ask(pages)
    assert [vm.vm_id for page in found for vm in page.vms] == ids
    sizes = [len(bytes(page)) for page in found]
    assert max(sizes) < CLIENT_BYTES
    assert min(sizes[:-1]) > CLIENT_BYTES // 2


async def test_a_list_is_filtered_by_labels_and_phases(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a", team="red", tier="x")
    await submitted(served, "b", team="red")
    await submitted(served, "c", team="blue")
    supervisor.finish("b", b"")

    async def ids(stub: v1.SupervisorStub) -> list[list[str]]:
        requests = (
            v1.ListVmsRequest(labels={"team": "red"}),
            v1.ListVmsRequest(labels={"team": "red", "tier": "x"}),
            v1.ListVmsRequest(phases=[v1.Phase.STOPPED]),
            v1.ListVmsRequest(labels={"team": "green"}),
        )
        return [[vm.vm_id for vm in (await stub.list_vms(one)).vms] for one in requests]

    assert await served.ask(ids) == [["a", "b"], ["a"], ["b"], []]


async def test_the_log_is_named_and_signed_up_to_its_last_event(served: Served) -> None:
    await submitted(served, "a")
    log = await served.ask(lambda stub: stub.get_log(v1.GetLogRequest()))
    signed = open_checkpoint(log.checkpoint.encode(), parse_verifier(log.verifier_key))
    assert (signed.checkpoint.size, signed.checkpoint.origin) == (
        log.head,
        f"chronovisor/{log.log_id}",
    )
    assert log.head >= 1


async def test_deleted_vms_are_left_out(served: Served, supervisor: MemorySupervisor) -> None:
    await submitted(served, "a")
    supervisor.vms["a"] = msgspec.structs.replace(supervisor.vms["a"], phase=Phase.DELETED)
    request = v1.ListVmsRequest(phases=[v1.Phase.DELETED])
    assert (await served.ask(lambda stub: stub.list_vms(request))).vms == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (v1.ListVmsRequest(page_size=1001), "page_size: got 1001; it takes at most 1000"),
        (v1.ListVmsRequest(page_token="../x"), "page_token: is not one that this service gave"),
        (v1.ListVmsRequest(phases=[v1.Phase(99)]), "phases: got 99, which is no phase"),
        (v1.ListVmsRequest(phases=[v1.Phase(0)]), "phases: got 0, which is no phase"),
    ],
)
async def test_a_list_that_cannot_be_made_names_the_field(
    served: Served, request_: v1.ListVmsRequest, message: str
) -> None:
    refused = await refusal(served, lambda stub: stub.list_vms(request_))
    assert (refused.status, refused.message) == (Status.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (lambda stub: stub.stop_vm(v1.StopVmRequest(vm_id="a")), Stop()),
        (lambda stub: stub.stop_vm(v1.StopVmRequest(vm_id="a", grace_ms=0)), Stop(0)),
        (lambda stub: stub.stop_vm(v1.StopVmRequest(vm_id="a", grace_ms=600_000)), Stop(600_000)),
        (lambda stub: stub.start_vm(v1.StartVmRequest(vm_id="a")), Start()),
        (lambda stub: stub.kill_vm(v1.KillVmRequest(vm_id="a")), Kill()),
        (lambda stub: stub.pause_vm(v1.PauseVmRequest(vm_id="a")), Pause()),
        (lambda stub: stub.resume_vm(v1.ResumeVmRequest(vm_id="a")), Resume()),
        (lambda stub: stub.reset_vm(v1.ResetVmRequest(vm_id="a")), Reset()),
        (lambda stub: stub.delete_vm(v1.DeleteVmRequest(vm_id="a")), Delete()),
    ],
)
async def test_each_order_reaches_its_vm(
    served: Served,
    supervisor: MemorySupervisor,
    call: Callable[[v1.SupervisorStub], Awaitable[v1.Vm]],
    command: Command,
) -> None:
    await submitted(served, "a")
    assert (await served.ask(call)).vm_id == "a"
    assert supervisor.commands == [("a", command)]


async def test_a_grace_beyond_its_bounds_is_refused(served: Served) -> None:
    request = v1.StopVmRequest(vm_id="a", grace_ms=600_001)
    refused = await refusal(served, lambda stub: stub.stop_vm(request))
    assert refused.status is Status.INVALID_ARGUMENT
    assert str(refused.message).startswith("grace_ms: got 600001")


async def test_a_manifest_is_refused_with_every_fault_in_it(served: Served) -> None:
    manifest = v1.Manifest(
        name="a/b",
        algorithm=v1.Algorithm(sha256="xyz"),
        vm=v1.VmShape(
            memory_bytes=1, machine=v1.Machine(7), kernel=v1.ImageRef(name="/etc/shadow")
        ),
    )
    request = v1.SubmitComputationRequest(manifest=manifest, idempotency_key="k")
    refused = await refusal(served, lambda stub: stub.submit_computation(request))
    assert refused.status is Status.INVALID_ARGUMENT
    for field in ("name", "algorithm.sha256", "vm.memory_bytes", "vm.machine", "vm.kernel.name"):
        assert f"manifest.{field}: " in str(refused.message)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (v1.SubmitComputationRequest(idempotency_key="k"), "manifest"),
        (v1.SubmitComputationRequest(manifest=a_manifest()), "idempotency_key"),
        (a_submission(key="x" * 129), "idempotency_key"),
        (a_submission(vm_id="Not/An/Id"), "vm_id"),
        (a_submission(vm_id=""), "vm_id"),
    ],
)
async def test_a_submission_that_lacks_something_names_it(
    served: Served, request_: v1.SubmitComputationRequest, field: str
) -> None:
    refused = await refusal(served, lambda stub: stub.submit_computation(request_))
    assert refused.status is Status.INVALID_ARGUMENT
    assert str(refused.message).startswith(f"{field}: ")


async def everything(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


def pieces(data: bytes, piece: int, /, **expect: Any) -> list[v1.UploadArtifactRequest]:
    first = v1.UploadArtifactRequest(expect=v1.ArtifactExpectation(**expect))
    chunks = [data[at : at + piece] for at in range(0, len(data), piece)]
    return [first, *(v1.UploadArtifactRequest(chunk=chunk) for chunk in chunks)]


async def test_an_upload_is_stored_under_its_digest(served: Served) -> None:
    data = bytes(range(256)) * 8192
    digest = hashlib.sha256(data).hexdigest()
    messages = pieces(data, 1024 * 1024, sha256=digest, size=len(data))
    stored = await served.ask(lambda stub: stub.upload_artifact(messages))
    assert (stored.sha256, stored.size) == (digest, len(data))


async def test_an_upload_may_begin_with_bytes_and_promise_nothing(served: Served) -> None:
    messages = [v1.UploadArtifactRequest(chunk=b"ab"), v1.UploadArtifactRequest(chunk=b"c")]
    stored = await served.ask(lambda stub: stub.upload_artifact(messages))
    assert stored.sha256 == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "chunk"),
        (pieces(b"abc", 1, sha256="nonsense"), "expect.sha256"),
        (pieces(b"abc", 1, sha256="0" * 64), "expect.sha256"),
        (pieces(b"abc", 1, size=2), "expect.size"),
        (pieces(b"abc", 1, size=4), "expect.size"),
        (pieces(b"x" * (1024 * 1024 + 1), 1024 * 1024 + 1), "chunk"),
    ],
)
async def test_an_upload_that_is_not_what_it_should_be_leaves_nothing(
    served: Served,
    supervisor: MemorySupervisor,
    messages: list[v1.UploadArtifactRequest],
    field: str,
) -> None:
    refused = await refusal(served, lambda stub: stub.upload_artifact(messages))
    assert refused.status is Status.INVALID_ARGUMENT
    assert str(refused.message).startswith(f"{field}: ")
    assert supervisor.uploads_open == 0
    assert not supervisor.stored()


async def test_a_watch_replays_then_marks_then_follows(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(3)
    caught_up = trio.Event()
    here = trio.lowlevel.current_trio_token()

    async def watch(stub: v1.SupervisorStub) -> list[v1.WatchEventsResponse]:
        seen = []
        async for item in stub.watch_events(v1.WatchEventsRequest(after=1)):
            seen.append(item)
            if item.caught_up is not None:
                here.run_sync_soon(caught_up.set)
            if len(seen) == 4:
                break
        return seen

    async def append_when_caught_up() -> None:
        await caught_up.wait()
        await supervisor.say(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(append_when_caught_up)
        seen = await served.ask(watch)
    assert [item.event.position if item.event else "mark" for item in seen] == [2, 3, "mark", 4]
    assert seen[2].caught_up is not None
    assert (seen[2].caught_up.log_id, seen[2].caught_up.position) == (supervisor.log.log_id, 3)


async def test_an_event_carries_its_whole_envelope(
    served: Served, supervisor: MemorySupervisor
) -> None:
    facts = {"bytes": b"\x00\xff", "text": "ä", "none": None}
    await supervisor.log.append([supervisor.event("vm/a", "vm.said.v1", facts)])
    event = (await watched(served, v1.WatchEventsRequest()))[0]
    assert event.time is not None
    assert (event.position, event.version, event.stream) == (1, 1, "vm/a")
    assert (event.type, event.event_id) == ("vm.said.v1", "event-1")
    assert (event.causation_id, event.correlation_id) == ("cause", "correlation")
    assert (event.tenant, event.principal, event.epoch) == ("default", "uid:0", 1)
    assert json.loads(event.data_json) == {"bytes": "AP8=", "text": "ä", "none": None}


async def watched(served: Served, request: v1.WatchEventsRequest) -> list[v1.Event]:
    async def replay(stub: v1.SupervisorStub) -> list[v1.Event]:
        seen = []
        async for item in stub.watch_events(request):
            if item.event is None:
                break
            seen.append(item.event)
        return seen

    return await served.ask(replay)


async def test_a_watch_is_filtered_by_vm_and_type(
    served: Served, supervisor: MemorySupervisor
) -> None:
    for stream in ("vm/a", "vm/b", "vm/a"):
        await supervisor.say(1, stream=stream)
    await supervisor.log.append([supervisor.event("vm/a", "vm.stopped.v1", {})])
    of_a = await watched(served, v1.WatchEventsRequest(vm_id="a"))
    stopped = await watched(served, v1.WatchEventsRequest(types=["vm.stopped.v1"]))
    spelled = await watched(served, v1.WatchEventsRequest(types=["org.chronovisor.vm.stopped.v1"]))
    assert [event.position for event in of_a] == [1, 3, 4]
    assert [event.position for event in stopped] == [4]
    assert spelled == stopped


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        (v1.WatchEventsRequest(after=1), Status.OUT_OF_RANGE, "after"),
        (v1.WatchEventsRequest(after=2**64 - 1), Status.OUT_OF_RANGE, "after"),
        (v1.WatchEventsRequest(log_id="other"), Status.FAILED_PRECONDITION, "log_id"),
        (v1.WatchEventsRequest(vm_id="../a"), Status.INVALID_ARGUMENT, "vm_id"),
        (v1.WatchEventsRequest(types=list(MANY_TYPES)), Status.INVALID_ARGUMENT, "types"),
        (v1.WatchEventsRequest(types=["x" * 129]), Status.INVALID_ARGUMENT, "types"),
    ],
)
async def test_a_watch_from_nowhere_is_refused(
    served: Served, request_: v1.WatchEventsRequest, status: Status, field: str
) -> None:
    refused = await refusal(served, lambda stub: everything(stub.watch_events(request_)))
    assert refused.status is status
    assert str(refused.message).startswith(f"{field}: ")


async def test_a_result_comes_with_its_digest_and_in_pieces(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a")
    archive = bytes(range(251)) * 1000
    supervisor.finish("a", archive)
    parts = await served.ask(
        lambda stub: everything(stub.fetch_result(v1.FetchResultRequest(vm_id="a")))
    )
    assert parts[0].result.size == len(archive)
    assert parts[0].result.sha256 == hashlib.sha256(archive).hexdigest()
    assert b"".join(part.chunk for part in parts) == archive
    assert all(len(part.chunk) <= 64 * 1024 for part in parts)


async def test_a_result_that_is_not_there_is_refused(served: Served) -> None:
    await submitted(served, "a")
    request = v1.FetchResultRequest(vm_id="a")
    refused = await refusal(served, lambda stub: everything(stub.fetch_result(request)))
    assert refused.status is Status.FAILED_PRECONDITION


async def test_a_result_that_lost_bytes_is_an_incident_and_not_a_short_file(
    served: Served, supervisor: MemorySupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    await submitted(served, "a")
    supervisor.finish("a", b"abc")
    supervisor.open_result("a", Caller("uid:0", "local"))[0].write_bytes(b"ab")
    request = v1.FetchResultRequest(vm_id="a")
    refused = await refusal(served, lambda stub: everything(stub.fetch_result(request)))
    assert refused.status is Status.INTERNAL
    incident = str(refused.message).rpartition(" ")[2]
    assert f"incident {incident} " in caplog.text
    assert "ends after 2 of 3 bytes" in caplog.text


async def test_both_texts_of_a_vm_can_be_read(served: Served, supervisor: MemorySupervisor) -> None:
    await submitted(served, "a")
    supervisor.console("a").write_bytes(b"Linux version\r\n")
    supervisor.guest_log("a").write_bytes(b"hello\n")

    async def text(stub: v1.SupervisorStub) -> list[bytes]:
        logs = (v1.ConsoleLog.UNSPECIFIED, v1.ConsoleLog.SERIAL, v1.ConsoleLog.GUEST)
        requests = [v1.FetchConsoleRequest(vm_id="a", log=log) for log in logs]
        parts = [await everything(stub.fetch_console(request)) for request in requests]
        return [b"".join(part.chunk for part in one) for one in parts]

    console = b"Linux version\r\n"
    assert await served.ask(text) == [console, console, b"hello\n"]


async def test_a_transcript_comes_in_pieces_behind_the_number_of_its_launch(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a")
    lines = b'{"at": "2026-01-02T03:04:05.000000Z"}\n' * 5000
    supervisor.transcript_of("a").write_bytes(lines)

    async def fetch(stub: v1.SupervisorStub) -> list[v1.FetchTranscriptResponse]:
        return await everything(
            stub.fetch_transcript(v1.FetchTranscriptRequest(vm_id="a", launch=2))
        )

    first, *pieces = await served.ask(fetch)
    assert (first.launch, first.chunk) == (2, b"")
    assert b"".join(piece.chunk for piece in pieces) == lines
    assert max(len(piece.chunk) for piece in pieces) == 65536


async def test_a_console_is_followed_until_the_vm_has_ended(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a")
    supervisor.console("a").write_bytes(b"one ")
    here = trio.lowlevel.current_trio_token()

    def more() -> None:
        supervisor.console("a").write_bytes(b"one two")
        supervisor.finish("a", b"")

    async def follow(stub: v1.SupervisorStub) -> bytes:
        text = b""
        async for part in stub.fetch_console(v1.FetchConsoleRequest(vm_id="a", follow=True)):
            if not text:
                here.run_sync_soon(more)
            text += part.chunk
        return text

    assert await served.ask(follow) == b"one two"


async def test_an_odd_thing_in_the_place_of_a_text_is_named_in_the_refusal(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await submitted(served, "a")
    supervisor.console("a").mkdir()
    supervisor.guest_log("a").symlink_to("elsewhere")
    supervisor.guest_log("a").with_name("elsewhere").write_bytes(b"secret")
    supervisor.transcript_of("a").mkdir()

    async def console(stub: v1.SupervisorStub, log: v1.ConsoleLog) -> object:
        return await everything(stub.fetch_console(v1.FetchConsoleRequest(vm_id="a", log=log)))

    async def transcript(stub: v1.SupervisorStub) -> object:
        return await everything(stub.fetch_transcript(v1.FetchTranscriptRequest(vm_id="a")))

    calls: dict[str, Callable[[v1.SupervisorStub], Awaitable[Any]]] = {
        "what the guest of VM 'a' wrote cannot be read: Is a directory": partial(
            console, log=v1.ConsoleLog.SERIAL
        ),
        "what the guest of VM 'a' wrote cannot be read: Too many levels of symbolic links": partial(
            console, log=v1.ConsoleLog.GUEST
        ),
        "the transcript of VM 'a' cannot be read: Is a directory": transcript,
    }
    for told, call in calls.items():
        refused = await refusal(served, call)
        assert (refused.status, refused.message) == (Status.FAILED_PRECONDITION, told)


async def test_an_unknown_console_is_refused(served: Served) -> None:
    request = v1.FetchConsoleRequest(vm_id="a", log=v1.ConsoleLog(9))
    refused = await refusal(served, lambda stub: everything(stub.fetch_console(request)))
    assert refused.status is Status.INVALID_ARGUMENT
    assert str(refused.message).startswith("log: got 9")


@pytest.mark.parametrize("service", ["", "chronovisor.v1.Supervisor"])
async def test_health_is_served_where_the_service_is(served: Served, service: str) -> None:
    answer = await ask(
        str(served.tcp),
        TOKEN,
        lambda channel: HealthStub(channel).Check(HealthCheckRequest(service=service)),
    )
    assert answer.status == HealthCheckResponse.SERVING


@pytest.mark.parametrize("transport", ["tcp", "unix"])
async def test_whoever_watches_the_health_is_told_when_the_daemon_leaves(
    supervisor: MemorySupervisor, tmp_path: Path, transport: str
) -> None:
    told: list[int] = []

    async def watch(channel: Channel) -> None:
        with suppress(StreamTerminatedError):  # in the end it hangs up
            async with HealthStub(channel).Watch.open() as stream:
                await stream.send_message(HealthCheckRequest(), end=True)
                async for answer in stream:
                    told.append(answer.status)

    async with trio.open_nursery() as clients, trio.open_nursery() as daemon:
        served = await start_grpc(daemon, supervisor, tmp_path, CallBounds())
        target = str(served.tcp) if transport == "tcp" else f"unix:{served.unix}"
        clients.start_soon(ask, target, TOKEN, watch)
        await eventually(lambda: told != [])
        daemon.cancel_scope.cancel()
    assert told == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]


async def test_the_health_of_another_service_is_not_found(served: Served) -> None:
    with pytest.raises(GRPCError) as refused:
        await ask(
            f"unix:{served.unix}",
            None,
            lambda channel: HealthStub(channel).Check(HealthCheckRequest(service="x")),
        )
    assert refused.value.status is Status.NOT_FOUND


async def test_calls_of_one_client_run_side_by_side(served: Served) -> None:
    await submitted(served, "a")

    async def many(stub: v1.SupervisorStub) -> list[v1.Vm]:
        calls = [stub.get_vm(v1.GetVmRequest(vm_id="a")) for _ in range(64)]
        return await asyncio.gather(*calls)

    assert len(await served.ask(many)) == 64
