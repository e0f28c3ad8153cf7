"""Uploads and downloads."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
import trio
import trio.testing

from supervisor.caller import Caller
from supervisor.http_api.bounds import Bounds
from tests.api.memory_supervisor import MemorySupervisor
from tests.http_api.conftest import Serve, submit, violations

BYTES = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(BYTES).hexdigest()


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BYTES), 50_000):
        yield BYTES[start : start + 50_000]


async def test_bytes_are_stored_under_their_digest(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    added = await client.post("/v1/artifacts", content=pieces())
    put = await client.put(f"/v1/artifacts/{DIGEST}", content=BYTES)
    assert (added.status_code, put.status_code) == (201, 200)
    assert added.json() == put.json() == {"sha256": DIGEST, "size": len(BYTES)}
    assert [path.read_bytes() == BYTES for path in supervisor.stored()] == [True]


async def test_other_bytes_than_the_digest_says_are_refused(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    answer = await client.put(f"/v1/artifacts/{'0' * 64}", content=BYTES)
    assert (answer.status_code, answer.json()["reason"]) == (400, "artifact-mismatch")
    assert [wrong["field"] for wrong in answer.json()["violations"]] == ["sha256"]
    assert supervisor.stored() == []


@pytest.mark.parametrize("digest", ["0", "0" * 63 + "g", "A" * 64])
async def test_what_is_no_digest_is_named(client: httpx.AsyncClient, digest: str) -> None:
    answer = await client.put(f"/v1/artifacts/{digest}", content=b"")
    assert (answer.status_code, list(violations(answer))) == (400, ["sha256"])


async def test_a_form_is_refused_before_it_is_stored(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    answer = await client.post("/v1/artifacts", files={"file": BYTES})
    assert (answer.status_code, list(violations(answer))) == (415, ["content-type"])
    assert supervisor.stored() == []


async def test_an_upload_that_falls_silent_is_ended_and_nothing_is_kept(
    serve: Serve, supervisor: MemorySupervisor
) -> None:
    served = await serve(Bounds(silence_s=0.05, linger_s=0.05))

    async def silent() -> AsyncIterator[bytes]:
        yield b"some"
        await trio.sleep_forever()

    async def upload(client: httpx.AsyncClient) -> None:
        with suppress(httpx.TransportError):  # once it is hung up on
            await client.post("/v1/artifacts", content=silent())

    async with served.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(upload, client)
        while supervisor.uploads_open or not supervisor.uploads_begun:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert supervisor.stored() == []
        nursery.cancel_scope.cancel()
    assert supervisor.uploads_begun == 1


async def test_a_client_that_vanishes_in_mid_upload_leaves_nothing(
    serve: Serve, supervisor: MemorySupervisor
) -> None:
    served = await serve(Bounds())
    stream = await trio.open_tcp_stream(served.address.host, served.address.port)
    head = f"PUT /v1/artifacts/{DIGEST} HTTP/1.1\r\nHost: {served.address}\r\n"
    token = served.client().headers["authorization"]
    length = f"Authorization: {token}\r\nContent-Length: {len(BYTES)}\r\n\r\n"
    await stream.send_all((head + length).encode() + BYTES[:1000])
    while not supervisor.uploads_open:
        await trio.testing.wait_all_tasks_blocked(0.001)
    await stream.aclose()
    while supervisor.uploads_open:
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert supervisor.stored() == []


async def test_a_result_comes_whole_with_its_digest(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    early = await client.get(f"/v1/vms/{vm_id}/result")
    assert (early.status_code, early.json()["reason"]) == (409, "no-result")
    supervisor.finish(vm_id, BYTES)
    answer = await client.get(f"/v1/vms/{vm_id}/result")
    assert answer.content == BYTES
    assert answer.headers["etag"] == f'"{DIGEST}"'
    digest = base64.b64encode(bytes.fromhex(DIGEST)).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"


async def test_a_result_that_is_cut_on_the_disk_is_not_taken_for_whole(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    supervisor.finish(vm_id, BYTES)
    path, _ = supervisor.open_result(vm_id, Caller("uid:0", "local"))
    path.write_bytes(BYTES[:-1])
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"/v1/vms/{vm_id}/result")


async def test_what_the_guest_wrote_is_read_and_followed(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    console = supervisor.console(vm_id)
    console.write_bytes(b"first\n")
    supervisor.guest_log(vm_id).write_bytes(b"<script>")
    guest = await client.get(f"/v1/vms/{vm_id}/console?log=guest")
    assert guest.headers["x-content-type-options"] == "nosniff"
    assert (guest.text, guest.headers["content-type"]) == ("<script>", "text/plain; charset=utf-8")
    async with client.stream("GET", f"/v1/vms/{vm_id}/console?follow=true") as response:
        text = response.aiter_raw()
        assert await anext(text) == b"first\n"
        with console.open("ab") as file:
            file.write(b"second\n")
        assert await anext(text) == b"second\n"
        supervisor.finish(vm_id, b"")
        assert [piece async for piece in text] == []


async def test_who_follows_a_vm_that_is_deleted_is_told_all_there_was_and_no_fault_is_logged(
    client: httpx.AsyncClient, supervisor: MemorySupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    supervisor.console(vm_id).write_bytes(b"first\n")
    async with client.stream("GET", f"/v1/vms/{vm_id}/console?follow=true") as response:
        text = response.aiter_raw()
        assert await anext(text) == b"first\n"
        del supervisor.vms[vm_id]
        assert [piece async for piece in text] == []
    assert not caplog.records


async def test_a_transcript_names_its_launch(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    vm_id = (await submit(client)).json()["vm_id"]
    supervisor.transcript_of(vm_id).write_bytes(b'{"QMP": {}}\n' * 10_000)
    answer = await client.get(f"/v1/vms/{vm_id}/transcript?launch=3")
    assert answer.headers["chronovisor-launch"] == "3"
    assert answer.content == b'{"QMP": {}}\n' * 10_000


async def test_the_log_is_told_and_signed(
    client: httpx.AsyncClient, supervisor: MemorySupervisor
) -> None:
    await supervisor.say(3)
    told = (await client.get("/v1/log")).json()
    assert (told["log_id"], told["head"]) == (supervisor.log.log_id, 3)
    assert told["checkpoint"].splitlines()[1] == "3"
