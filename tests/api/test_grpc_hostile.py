"""Clients that are broken, absent, slow or wicked: a proper status, and a server that lives."""

import gc
import logging
import socket
import struct
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import h2.events
import h2.exceptions
import pytest
import trio
from chronovisor_api import v1
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from eventlog import LogPoisoned, open_log
from supervisor.api.grpc_call import CallBounds
from supervisor.api.grpc_connections import CONNECTIONS
from supervisor.api.grpc_status import grpc_error
from supervisor.host.platform import Platform, Unavailable
from supervisor.vm.commands import CommandDenied, DenyReason
from tests.api.conftest import TOKEN, Served, eventually, start_grpc
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.raw_grpc import frame, headers, raw_client, until_hung_up
from tests.api.test_grpc_calls import a_submission

NO_SUCH = frame(v1.GetVmRequest(vm_id="b").SerializeToString())


async def lives(served: Served) -> None:
    """The server still answers."""
    answer = await served.ask(lambda stub: stub.list_vms(v1.ListVmsRequest()))
    assert answer.vms == []


@pytest.mark.parametrize(
    ("token", "status"),
    [(None, Status.UNAUTHENTICATED), ("wrong", Status.UNAUTHENTICATED), (TOKEN, None)],
)
async def test_tcp_takes_the_token_and_nothing_else(
    served: Served, token: str | None, status: Status | None
) -> None:
    try:
        await served.ask_tcp(token, lambda stub: stub.list_vms(v1.ListVmsRequest()))
        found = None
    except GRPCError as refused:
        found = refused.status
    assert found is status


async def test_health_over_tcp_wants_the_token_too(served: Served) -> None:
    request = headers(":path", (":path", "/grpc.health.v1.Health/Check"))
    async with raw_client(served.tcp) as client:
        status, _ = await client.status(await client.call(request, frame(b"")))
    assert status is Status.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("authority", "status"),
    [
        ("localhost", Status.NOT_FOUND),
        ("LOCALHOST:80", Status.NOT_FOUND),
        ("127.0.0.1:7001", Status.NOT_FOUND),
        ("[::1]:7001", Status.NOT_FOUND),
        ("evil.example", Status.PERMISSION_DENIED),
        ("localhost.evil.example", Status.PERMISSION_DENIED),
        ("127.0.0.1.evil.example", Status.PERMISSION_DENIED),
        ("user@localhost", Status.PERMISSION_DENIED),
        ("", Status.PERMISSION_DENIED),
    ],
)
async def test_tcp_answers_to_names_of_this_machine_only(
    served: Served, authority: str, status: Status
) -> None:
    request = headers("GetVm", (":authority", authority), ("authorization", f"Bearer {TOKEN}"))
    async with raw_client(served.tcp) as client:
        found, _ = await client.status(await client.call(request, NO_SUCH))
    assert found is status


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (headers("NoSuchMethod"), Status.UNIMPLEMENTED),
        (headers("GetVm", (":path", "/")), Status.UNIMPLEMENTED),
        (headers(without=":path"), Status.INVALID_ARGUMENT),
        (headers("GetVm", (":method", "GET")), Status.INVALID_ARGUMENT),
        (headers(without="content-type"), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("content-type", "application/json")), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("content-type", "application/grpc+json")), Status.INVALID_ARGUMENT),
        (headers(without="te"), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("grpc-timeout", "soon")), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("grpc-timeout", "999999999H")), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("grpc-timeout", "0n")), Status.DEADLINE_EXCEEDED),
        (headers("GetVm", ("grpc-timeout", "1n")), Status.DEADLINE_EXCEEDED),
        (headers("GetVm", ("grpc-timeout", "99999999H")), Status.NOT_FOUND),
        (headers("GetVm", ("x-bin", "no base64")), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("x-bin", "YWJjZ")), Status.INVALID_ARGUMENT),
        (headers("GetVm", ("x-bin", "YWI")), Status.NOT_FOUND),
        (headers("GetVm", ("x-bin", "YWI=")), Status.NOT_FOUND),
        (headers("GetVm", ("traceparent", "garbage")), Status.NOT_FOUND),
        (headers("GetVm", ("content-type", "application/grpc+proto")), Status.NOT_FOUND),
    ],
)
async def test_headers_of_every_kind_get_a_proper_status(
    served: Served, request_: list[tuple[str, str]], status: Status
) -> None:
    async with raw_client(served.unix) as client:
        found, _ = await client.status(await client.call(request_, NO_SUCH))
    assert found is status


LIMIT = CallBounds().message_bytes


@pytest.mark.parametrize(
    ("method", "bodies", "status"),
    [
        ("GetVm", [], Status.INVALID_ARGUMENT),
        ("GetVm", [b"\x00\x00"], Status.INVALID_ARGUMENT),
        ("GetVm", [frame(b"abc", size=10)], Status.INVALID_ARGUMENT),
        ("GetVm", [frame(b"\xff" * 20)], Status.INVALID_ARGUMENT),
        ("GetVm", [frame(b"\x0a\x02\xff\xfe")], Status.INVALID_ARGUMENT),
        ("GetVm", [frame(b"", compressed=1)], Status.UNIMPLEMENTED),
        ("GetVm", [frame(b"", size=LIMIT + 1)], Status.RESOURCE_EXHAUSTED),
        ("GetVm", [frame(b"", size=2**32 - 1)], Status.RESOURCE_EXHAUSTED),
        ("WatchEvents", [], Status.INVALID_ARGUMENT),
        ("FetchResult", [frame(b"\xff")], Status.INVALID_ARGUMENT),
        ("UploadArtifact", [], Status.INVALID_ARGUMENT),
        ("UploadArtifact", [frame(b"\x12\x01a"), frame(b"\xff" * 20)], Status.INVALID_ARGUMENT),
        ("UploadArtifact", [frame(b"\x12\x01a"), frame(b"a", size=9)], Status.INVALID_ARGUMENT),
    ],
)
async def test_messages_of_every_kind_get_a_proper_status(
    served: Served,
    supervisor: MemorySupervisor,
    method: str,
    bodies: list[bytes],
    status: Status,
) -> None:
    async with raw_client(served.unix) as client:
        found, _ = await client.status(await client.call(headers(method), *bodies))
    assert found is status
    assert supervisor.uploads_open == 0
    assert not supervisor.stored()


@pytest.mark.parametrize("service", ["Check", "Watch"])
async def test_broken_messages_to_the_health_service_get_a_proper_status(
    served: Served, service: str
) -> None:
    request = headers("", (":path", f"/grpc.health.v1.Health/{service}"))
    async with raw_client(served.unix) as client:
        for body in (frame(b"\xff\xff"), frame(b"", size=2**31), b"\x00", b""):
            found, _ = await client.status(await client.call(request, body))
            assert found in {Status.INVALID_ARGUMENT, Status.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 20_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\x00" * 4096,
    ],
    ids=["http/1.1", "endless-frame", "tls", "zeros"],
)
async def test_what_is_not_http2_is_hung_up_on(served: Served, words: bytes) -> None:
    async with await trio.open_tcp_stream(served.tcp.host, served.tcp.port) as stream:
        await stream.send_all(words)
        await until_hung_up(stream)
    await lives(served)


async def test_headers_that_are_not_ascii_end_their_connection_only(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with raw_client(served.unix) as client:
        client.h2.config.header_encoding = None
        await client.call([*headers(), ("x", b"\xc3\xa4".decode("latin-1"))], NO_SUCH)
        with pytest.raises(AssertionError, match="hung up"):
            await client.status(1)
    await lives(served)
    assert "headers that are not ASCII" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_deadline_ends_the_call_and_what_it_started(
    served: Served, supervisor: MemorySupervisor
) -> None:
    request = headers("UploadArtifact", ("grpc-timeout", "1S"))
    async with raw_client(served.unix) as client:
        number = await client.call(request, frame(b"\x12\x03abc"), end=False)
        status, message = await client.status(number)
    assert (status, message) == (Status.DEADLINE_EXCEEDED, "the client's deadline passed")
    assert (supervisor.uploads_begun, supervisor.uploads_open) == (1, 0)
    assert not supervisor.stored()


async def test_an_upload_that_breaks_off_leaves_nothing(
    served: Served, supervisor: MemorySupervisor
) -> None:
    async with raw_client(served.unix) as client:
        await client.call(headers("UploadArtifact"), frame(b"\x12\x03abc"), end=False)
        await eventually(lambda: supervisor.uploads_open == 1)
    await eventually(lambda: supervisor.uploads_open == 0)
    assert not supervisor.stored()


async def test_a_client_that_falls_silent_in_an_upload_is_let_go(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, CallBounds(silence_s=0.05))
    async with raw_client(served.unix) as client:
        number = await client.call(headers("UploadArtifact"), frame(b"\x12\x01a"), end=False)
        status, message = await client.status(number)
    assert (status, supervisor.uploads_open) == (Status.DEADLINE_EXCEEDED, 0)
    assert message.startswith("no message came")


async def test_a_client_that_takes_nothing_of_a_stream_is_let_go(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, CallBounds(silence_s=0.1))
    await supervisor.say(20, size=10_000)  # more than the window of 64 KiB that this client gives
    async with raw_client(served.unix) as client:
        number = await client.call(headers("WatchEvents"), frame(b""))
        data = b""
        while True:
            for event in client.h2.receive_data(await client.stream.receive_some()):
                if isinstance(event, h2.events.DataReceived):
                    data += event.data or b""  # and nothing is acknowledged
                if isinstance(event, h2.events.TrailersReceived) and event.stream_id == number:
                    status = {str(name): str(value) for name, value in event.headers or ()}
                    assert int(status["grpc-status"]) == Status.ABORTED.value
                    return


async def test_clients_that_vanish_leave_no_task_behind(
    served: Served, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(50, size=1000)
    await lives(served)

    def tasks() -> int:
        return trio.lowlevel.current_statistics().tasks_living

    before = tasks()
    for _ in range(20):
        async with raw_client(served.unix) as client:
            for method in ("WatchEvents", "UploadArtifact"):
                await client.call(headers(method), frame(b""), end=method == "WatchEvents")
            await client.stream.receive_some(100)
    await eventually(lambda: tasks() <= before)
    await supervisor.say(1)
    await lives(served)


async def test_who_vanishes_behind_a_bad_message_is_no_fault_of_ours(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    # The refusal of the message and the end of its connection meet at every turn between the two.
    for _ in range(60):
        async with raw_client(served.tcp) as client:
            bearer = ("authorization", f"Bearer {TOKEN}")
            await client.call(headers("UploadArtifact", bearer), frame(b"\xff" * 20), end=False)
            client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await lives(served)
    assert "Traceback" not in caplog.text
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


class Resolute(MemorySupervisor):
    """One that, once asked, ends what it does whoever leaves, as an append on its way does."""

    asked = False
    done = False

    async def platform(self) -> Platform | Unavailable:
        self.asked = True
        with suppress(trio.Cancelled):
            await trio.sleep_forever()
        self.done = True
        return self.found


async def test_who_vanishes_while_the_work_is_ended_all_the_same_is_no_fault_of_ours(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_log(tmp_path / "log") as log:
        supervisor = Resolute(log, tmp_path)
        served = await start_grpc(nursery, supervisor, tmp_path, CallBounds())
        async with raw_client(served.unix) as client:
            await client.call(headers("GetPlatform"), frame(b""))
            await eventually(lambda: supervisor.asked)
        await eventually(lambda: supervisor.done)
        await lives(served)
        nursery.cancel_scope.cancel()
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_an_answer_that_nobody_is_there_to_take_is_no_incident(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = h2.exceptions.StreamClosedError(1)
    assert grpc_error(left, "GetLog").status is Status.ABORTED
    assert not caplog.records


async def test_a_stalled_watcher_slows_nobody(served: Served, supervisor: MemorySupervisor) -> None:
    async with raw_client(served.unix) as client:
        await client.call(headers("WatchEvents"), frame(b""))
        await supervisor.say(50, size=20_000)
        await lives(served)


async def test_more_connections_than_the_bound_are_closed(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as connections:

        async def connect() -> trio.SocketStream:
            stream = await trio.open_unix_socket(str(served.unix))
            await connections.enter_async_context(stream)
            assert await stream.receive_some()
            return stream

        for _ in range(CONNECTIONS):
            await connect()
        one_more = await connect()
        with suppress(trio.BrokenResourceError):  # a reset says the same as an end
            assert await one_more.receive_some() == b""
    assert f"room for {CONNECTIONS} gRPC connections" in caplog.text
    await lives(served)


async def test_strangers_who_ask_for_nothing_cannot_hold_the_places_of_clients(
    supervisor: MemorySupervisor, nursery: trio.Nursery, tmp_path: Path
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, CallBounds(first_request_s=1))
    async with raw_client(served.unix) as client:
        assert await client.status(await client.call(headers(), NO_SUCH)) is not None
        async with await trio.open_tcp_stream(served.tcp.host, served.tcp.port) as stranger:
            await until_hung_up(stranger)
        status, _ = await client.status(await client.call(headers(), NO_SUCH))
    assert status is Status.NOT_FOUND


async def test_connections_that_are_being_made_while_the_daemon_leaves_are_closed(
    supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    async with trio.open_nursery() as nursery:
        served = await start_grpc(nursery, supervisor, tmp_path, CallBounds())
        async with AsyncExitStack() as connections:
            for _ in range(20):
                stream = await trio.open_unix_socket(str(served.unix))
                await connections.enter_async_context(stream)
            nursery.cancel_scope.cancel()
    gc.collect()  # what nobody closed warns here, and warnings are errors


async def test_what_nobody_expected_is_an_incident_in_the_log_and_says_nothing_else(
    served: Served, supervisor: MemorySupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.failure = ValueError("a secret of the daemon")
    with pytest.raises(GRPCError) as refused:
        await served.ask(lambda stub: stub.submit_computation(a_submission()))
    assert refused.value.status is Status.INTERNAL
    message = str(refused.value.message)
    assert "secret" not in message
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert message.rpartition(" ")[2] in record.getMessage()


@pytest.mark.fault("errors-unknown")
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (LogPoisoned(OSError(28, "No space left on device")), Status.UNAVAILABLE),
        (CommandDenied(DenyReason.MAILBOX_FULL, "busy"), Status.RESOURCE_EXHAUSTED),
        (TimeoutError("an OSError of old"), Status.INTERNAL),
        (ExceptionGroup("several", [ValueError("one")]), Status.INTERNAL),
    ],
)
async def test_failures_of_the_daemon_have_a_status(
    served: Served, supervisor: MemorySupervisor, failure: Exception, status: Status
) -> None:
    supervisor.failure = failure
    with pytest.raises(GRPCError) as refused:
        await served.ask(lambda stub: stub.submit_computation(a_submission()))
    assert refused.value.status is status


async def test_a_message_that_is_longer_than_headers_may_be_is_cut(
    served: Served, supervisor: MemorySupervisor
) -> None:
    supervisor.failure = CommandDenied(DenyReason.WRONG_PHASE, "ä" * 100_000)
    with pytest.raises(GRPCError) as refused:
        await served.ask(lambda stub: stub.submit_computation(a_submission()))
    assert refused.value.message == "ä" * (2048 // len("%C3%A4"))


async def test_when_the_daemon_leaves_watchers_are_let_go_and_the_socket_is_removed(
    supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    async with trio.open_nursery() as nursery:
        served = await start_grpc(nursery, supervisor, tmp_path, CallBounds())
        assert served.unix.stat().st_mode & 0o777 == 0o600
        async with raw_client(served.unix) as client:
            await client.call(headers("WatchEvents"), frame(b""))
            await client.stream.receive_some()
            nursery.cancel_scope.cancel()
    assert not served.unix.exists()
