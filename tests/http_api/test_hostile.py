"""What strangers, slips and broken clients send: each gets its answer, and the server lives."""

import gzip
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from eventlog import open_log
from supervisor.access.tls import Protocol, server_contexts
from supervisor.api.listeners import address_of, bind_tcp
from supervisor.config import Address
from supervisor.config.schema import Tls
from supervisor.http_api.bounds import Bounds
from supervisor.http_api.connections import Connections
from tests.api.memory_supervisor import MemorySupervisor
from tests.e2e.authority import Authority
from tests.http_api.conftest import (
    BEARER,
    MANIFEST,
    PATIENCE,
    TOKEN,
    Serve,
    Served,
    submit,
    violations,
)

SHA256 = MANIFEST.algorithm.sha256
ALGORITHM = {"sha256": SHA256}
JSON = {"Content-Type": "application/json"}
GOOD = {"name": "n", "algorithm": ALGORITHM}


@pytest.mark.parametrize(
    ("manifest", "fields"),
    [
        (b"", {"body"}),
        (b"{", {"body"}),
        (b"\xff", {"body"}),
        (b"[]", {"body"}),
        (b"null", {"body"}),
        (b"[" * 100_000, {"body"}),
        ({}, {"name"}),
        ({"name": 1, "algorithm": []}, {"name", "algorithm"}),
        ({"name": "n", "algorithm": {}}, {"algorithm.sha256"}),
        (GOOD | {"nmae": "x"}, {"nmae"}),
        (GOOD | {"vm": {"memory": "1G"}}, {"vm.memory"}),
        (GOOD | {"vm": {"cpus": "2", "machine": "pdp11"}}, {"vm.cpus", "vm.machine"}),
        (GOOD | {"vm": {"cpus": 10**30}}, {"vm.cpus"}),
        (GOOD | {"vm": {"cpus": 1.5, "watchdog": 1}}, {"vm.cpus", "vm.watchdog"}),
        (GOOD | {"vm": {"kernel": {"by": "path", "path": "/etc/passwd"}}}, None),
        (GOOD | {"vm": {"kernel": {"name": "x"}}}, None),
        (GOOD | {"vm": {"kernel": {"by": "name", "name": "../x"}}}, {"vm.kernel.name"}),
        (GOOD | {"vm": {"kernel": {"by": "sha256", "sha256": "x"}}}, {"vm.kernel.sha256"}),
        (GOOD | {"labels": {"a": 1}}, {"labels.a"}),
        (GOOD | {"labels": []}, {"labels"}),
        (GOOD | {"datasets": [{"name": "a"}]}, {"datasets[0].sha256"}),
        (GOOD | {"limits": {"ttl_ms": -1}}, {"limits.ttl_ms"}),
        (GOOD | {"name": "x" * 200}, {"name"}),
        (GOOD | {"description": "x" * 5000}, {"description"}),
        (GOOD | {"restart": None}, {"restart"}),
    ],
)
async def test_a_manifest_that_is_wrong_is_refused_with_every_field_named(
    client: httpx.AsyncClient, manifest: object, fields: set[str] | None
) -> None:
    answer = await submit(client, manifest)
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid-manifest")
    found = violations(answer)
    if fields is None:
        assert all(name.startswith("vm.kernel") for name in found)
    else:
        assert set(found) == fields


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        (JSON, 400, "Idempotency-Key"),
        (
            JSON | {"Idempotency-Key": "x" * 129},
            400,
            "Idempotency-Key",
        ),
        (JSON | {"Idempotency-Key": "\xe4"}, 400, "Idempotency-Key"),
        ({"Idempotency-Key": "k"}, 415, "content-type"),
        ({"Content-Type": "text/plain", "Idempotency-Key": "k"}, 415, "content-type"),
    ],
)
async def test_a_submission_with_wrong_headers_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], status: int, field: str
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await client.post("/v1/computations", content=b"{}", headers=encoded)  # type: ignore[arg-type]
    assert (answer.status_code, list(violations(answer))) == (status, [field])


@pytest.mark.parametrize("target", ["/run", "/v1/computations", "/v1/artifacts"])
async def test_a_body_that_is_compressed_for_its_way_is_not_kept_as_it_came(
    client: httpx.AsyncClient, target: str
) -> None:
    headers = JSON | {"Idempotency-Key": "k"}
    coded = headers | {"Content-Encoding": "gzip"}
    refused = await client.post(target, content=gzip.compress(b"{}"), headers=coded)
    assert (refused.status_code, [*violations(refused)]) == (415, ["content-encoding"])
    plain = headers | {"Content-Encoding": "identity"}
    assert (await client.post(target, content=b"{}", headers=plain)).status_code != 415


@pytest.mark.parametrize("method", ["PUT", "HEAD", "OPTIONS"])
async def test_which_methods_there_are_is_told_and_each_of_them_is_one(
    client: httpx.AsyncClient, method: str
) -> None:
    refused = await client.request(method, "/v1/vms/a")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, DELETE")
    assert method == "HEAD" or "it takes GET, DELETE" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("method", "target", "status", "field"),
    [
        ("GET", "/", 404, "path"),
        ("GET", "/v1/vms/", 404, "path"),
        ("GET", "/v1/vms/a%2Fb", 404, "path"),
        ("GET", "/v1/../../etc/passwd", 404, "path"),
        ("PUT", "/v1/vms", 405, "method"),
        ("HEAD", "/v1/vms", 405, None),
        ("BREW", "/v1/vms", 405, "method"),
        ("GET", "/v1/vms?page_size=x", 400, "page_size"),
        ("GET", "/v1/vms?page_size=1001", 400, "page_size"),
        ("GET", "/v1/vms?page_token=../x", 400, "page_token"),
        ("GET", "/v1/vms?phase=deleted", 400, "phase"),
        ("GET", "/v1/vms?label=x", 400, "label"),
        ("GET", "/v1/vms?labl=x", 400, "labl"),
        ("GET", "/v1/vms?page_size=1&page_size=2", 400, "page_size"),
        ("GET", "/v1/vms?" + "&".join(["label=a%3Db"] * 200), 400, "query"),
        ("POST", "/v1/vms/a/stop?grace_ms=-1", 400, "grace_ms"),
        ("POST", "/v1/vms/a/stop?grace_ms=99999999999999999999", 400, "grace_ms"),
        ("POST", "/v1/vms/a/kill?force=1", 400, "force"),
        ("GET", "/v1/vms/a/console?log=x", 400, "log"),
        ("GET", "/v1/vms/a/console?launch=0", 400, "launch"),
        ("GET", "/v1/vms/a/console?log=", 400, "log"),
        ("GET", "/v1/vms/a/console?follow=yes", 400, "follow"),
        ("GET", "/v1/vms/a/transcript?launch=x", 400, "launch"),
        ("POST", "/v1/computations?vm_id=..", 400, "vm_id"),
    ],
)
async def test_a_request_that_is_wrong_is_told_what_is(
    client: httpx.AsyncClient, method: str, target: str, status: int, field: str | None
) -> None:
    headers = JSON | {"Idempotency-Key": "k"}
    answer = await client.request(method, target, headers=headers)
    assert answer.status_code == status
    if field is not None:
        assert list(violations(answer)) == [field]


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({}, 401, "authorization"),
        ({"Authorization": "Bearer wrong-token-0123456789"}, 401, "authorization"),
        ({"Authorization": "Basic eDp5"}, 401, "authorization"),
        (BEARER | {"Host": "evil.example"}, 403, "host"),
        (BEARER | {"Origin": "http://evil.example"}, 403, "origin"),
        (BEARER | {"Origin": "null"}, 403, "origin"),
    ],
)
async def test_who_may_not_ask_learns_nothing(
    served: Served, headers: dict[str, str], status: int, field: str
) -> None:
    for path in ("/v1/vms", "/v1/events", "/metrics", "/nowhere"):
        async with served.client(headers) as client:
            answer = await client.get(path)
        assert (answer.status_code, list(violations(answer))) == (status, [field])
        assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)


async def test_a_body_that_is_too_large_is_refused_while_it_comes(
    client: httpx.AsyncClient,
) -> None:
    answer = await submit(client, b" " * 4_000_000)
    assert (answer.status_code, list(violations(answer))) == (413, ["body"])
    assert (await client.get("/healthz")).status_code == 200


async def test_headers_that_are_too_large_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/vms", headers={"X": "x" * 200_000})
    assert answer.status_code == 431


async def test_a_request_that_takes_too_long_is_given_up(serve: Serve) -> None:
    served = await serve(Bounds(request_s=0.05, linger_s=0.05))

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await trio.testing.wait_all_tasks_blocked(0.3)

    headers = JSON | {"Idempotency-Key": "k"}
    async with served.client() as client:
        answer = await client.post("/v1/computations", content=slow(), headers=headers)
    assert (answer.status_code, list(violations(answer))) == (504, ["request"])


async def raw(served: Served, sent: bytes) -> bytes:
    """Return what the server says until it hangs up."""
    async with await trio.open_tcp_stream(served.address.host, served.address.port) as stream:
        await stream.send_all(sent)
        received = b""
        while piece := await stream.receive_some():
            received += piece
        return received


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_and_hung_up_on(served: Served, sent: bytes) -> None:
    answer = await raw(served, sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    async with served.client() as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_bytes_after_the_last_request_do_not_get_in_the_way_of_its_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = await serve(Bounds(idle_s=5.0, linger_s=0.05))
    head = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    bearer = b"Authorization: " + BEARER["Authorization"].encode() + b"\r\n"
    for _ in range(5):  # which of two tasks is first is chance
        answer = await raw(served, head + bearer + b"Connection: close\r\n\r\n{}")
        lines = [line[:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")]
        assert len([line for line in lines if line[:10] == b"HTTP/1.1 4"]) == 1
    assert caplog.records == []


async def test_an_offer_of_another_protocol_is_declined(served: Served) -> None:
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with await trio.open_tcp_stream(served.address.host, served.address.port) as stream:
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + h2c + b"\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_a_connection_that_says_nothing_is_hung_up_on(serve: Serve) -> None:
    served = await serve(Bounds(idle_s=0.05))
    assert await raw(served, b"") == b""
    assert await raw(served, b"GET / HTTP/1.1\r\nHost: local") == b""


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
async def test_a_handshake_that_does_not_end_is_ended(
    nursery: trio.Nursery, tmp_path: Path, said: bytes
) -> None:
    async def app(*_: object) -> None:
        raise AssertionError("who never shook hands asked for something")

    pair = Authority(tmp_path, "authority").issue("server")
    contexts = server_contexts(Tls(certificate=pair.certificate, key=pair.key), time.time())
    tcp = bind_tcp(Address("127.0.0.1", 0))
    address = address_of(tcp)
    connections = Connections(app, Bounds(idle_s=0.05), contexts[Protocol.HTTP_1_1])
    await nursery.start(connections.serve, tcp)
    async with await trio.open_tcp_stream(address.host, address.port) as stranger:
        await stranger.send_all(said)
        with trio.fail_after(PATIENCE):
            assert await stranger.receive_some() == b""


async def test_one_connection_more_than_there_is_room_for_is_hung_up_on(serve: Serve) -> None:
    served = await serve(Bounds(connections=2, refusals=0, idle_s=3600))

    async def connect() -> trio.SocketStream:
        return await trio.open_tcp_stream(served.address.host, served.address.port)

    async with AsyncExitStack() as held:
        for _ in range(2):
            client = await held.enter_async_context(await connect())
            await client.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200")
        async with await connect() as one_more:
            with trio.fail_after(PATIENCE):
                assert await one_more.receive_some() == b""


async def test_who_asks_twice_and_vanishes_leaves_no_task_behind(serve: Serve) -> None:
    served = await serve(Bounds(heartbeat_s=0.05))

    def tasks() -> int:
        return trio.lowlevel.current_statistics().tasks_living

    before = tasks()
    request = f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    async with await trio.open_tcp_stream(served.address.host, served.address.port) as stream:
        await stream.send_all(request.encode() * 2)
        assert await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    while tasks() > before:
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_more_clients_than_are_served_are_told_so_or_hung_up_on(serve: Serve) -> None:
    served = await serve(Bounds(connections=1, refusals=1))
    async with served.client() as first, served.client() as second:
        assert (await first.get("/healthz")).status_code == 200
        refused = await second.get("/healthz")
        assert (refused.status_code, list(violations(refused))) == (429, ["connection"])
        assert refused.headers["retry-after"] == "1"
        assert await raw(served, b"") == b""


async def test_who_is_served_stays_so_and_leaves_his_place_to_the_next(serve: Serve) -> None:
    served = await serve(Bounds(connections=1, refusals=2))
    async with served.client() as second:
        async with served.client() as first, served.client({}) as nobody:
            assert (await nobody.get("/v1/vms")).status_code == 401
            assert (await first.get("/v1/vms")).status_code == 200
            assert (await second.get("/v1/vms")).status_code == 429
            assert (await first.get("/v1/vms")).status_code == 200
        with trio.fail_after(PATIENCE):
            while (await second.get("/v1/vms")).status_code != 200:
                pass


async def test_what_nobody_expected_is_an_incident_and_tells_no_secret(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.failure = RuntimeError("a secret")
    answer = await submit(client)
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
    assert "secret" not in answer.text
    (record,) = [record for record in caplog.records if "incident" in record.message]
    assert answer.json()["detail"].rpartition(" ")[2] in record.message


async def test_a_log_that_takes_no_more_is_unavailable(
    client: httpx.AsyncClient, tmp_path: Path, supervisor: MemorySupervisor
) -> None:
    async with open_log(tmp_path / "other") as log:
        pass
    supervisor.log = log
    answer = await submit(client)
    assert (answer.status_code, answer.json()["reason"]) == (503, "log-ended")
