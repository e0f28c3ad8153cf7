"""What hostile clients of gRPC say in proper HTTP/2: messages, headers, cut calls."""

import random
import struct
from collections.abc import Awaitable
from functools import cache

import trio

from chronovisor_fuzz.http2 import Answer, HungUp, grpc_headers, http2, prefixed
from chronovisor_fuzz.messages import Author, Method, methods
from chronovisor_fuzz.target import Attack, Found, Target

ANSWER_S = 90.0
"""A report of attestation may take 30 s, on a machine that does nothing else."""
STREAM_S = 2.0
"""How long a stream that may have no end is listened to."""
OTHERS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
HEADERS = (
    ("grpc-timeout", ("0n", "1n", "99999999H", "1x", "", "-1S")),
    ("grpc-encoding", ("gzip", "identity", "x" * 100)),
    ("content-type", ("text/html", "", "application/grpc+json")),
    (":path", ("", "/", "*", "/chronovisor.v1.Supervisor/", "//", "/x" * 2000)),
    (":method", ("GET", "CONNECT", "", "x" * 300)),
    (":authority", ("evil.example", "", "localhost:99999999")),
    ("te", ("", "gzip")),
    ("authorization", ("", "Bearer", "Bearer " + "x" * 3000, "Basic eDp5")),
    ("x-bin", ("!", "AAAA", "=")),
    ("traceparent", ("00-" + "0" * 32, "x" * 500)),
)


@cache
def _methods() -> tuple[Method, ...]:
    return methods()


async def a_message(target: Target, chance: random.Random) -> str:
    """Call any method with any message; each must get a status."""
    method = chance.choice(_methods())
    author = Author(chance, (*target.vm_ids, target.sha256, target.log_id, "vm.submitted.v1"))
    bodies = [prefixed(author.message(method.takes)) for _ in range(chance.choice((1, 1, 1, 2)))]
    async with http2(target) as client:
        number = await client.call(grpc_headers(target, method.path), *bodies)
        name = method.path.rpartition("/")[2]
        if not method.is_streamed:
            return f"{name} {await _answered(client.answer(number), name)}"
        with trio.move_on_after(STREAM_S):
            return f"{name} {await _answered(client.answer(number), name)}"
    return f"{name} streams"


async def a_broken_frame(target: Target, chance: random.Random) -> str:
    """Send a message whose length, compression or end is not what it says."""
    body = chance.randbytes(20)
    size = chance.choice((0, 19, 21, 2**20, 2**31, 2**32 - 1))
    frame = struct.pack(">BI", chance.choice((0, 1, 255)), size) + body
    sent = frame[: chance.randint(0, len(frame))] if chance.random() < 0.4 else frame
    path = chance.choice([*(each.path for each in _methods()), *OTHERS])
    async with http2(target) as client:
        number = await client.call(grpc_headers(target, path), sent)
        with trio.move_on_after(STREAM_S):
            return await _answered(client.answer(number), path)
    return "nothing yet"


async def headers_of_any_kind(target: Target, chance: random.Random) -> str:
    """Replace some headers of a proper call."""
    changed = {name: chance.choice(values) for name, values in chance.sample(HEADERS, 2)}
    path = "/chronovisor.v1.Supervisor/ListVms"
    fields = dict(grpc_headers(target, path)) | changed
    async with http2(target) as client:
        number = await client.call(list(fields.items()), prefixed(b""))
        return await _answered(client.answer(number), "ListVms")


async def vanishing(target: Target, chance: random.Random) -> str:
    """Leave in the middle of an upload, of an order, or of a stream of events."""
    name, more = chance.choice(
        (
            ("UploadArtifact", b"\x0a\x90\x4e" + bytes(10_000)),
            ("KillVm", b"\x0a"),
            ("WatchEvents", b""),
        )
    )
    async with http2(target) as client:
        headers = grpc_headers(target, f"/chronovisor.v1.Supervisor/{name}")
        await client.call(headers, prefixed(more), end=name == "WatchEvents")
        await trio.sleep(chance.choice((0.0, 0.01, 0.3)))
        if chance.random() < 0.5:
            await client.stream.send_eof()
            await trio.sleep(0.05)
    return f"left {name}"


async def writing_slowly(target: Target, chance: random.Random) -> str:
    """Send a proper call a few bytes at a time."""
    path = "/chronovisor.v1.Supervisor/ListVms"
    async with http2(target) as client:
        number = client.next_stream()
        head = client.headers(number, grpc_headers(target, path))
        data = b"\0\0\5\0\1" + struct.pack(">I", number) + prefixed(b"")
        for byte in head + data:
            await client.stream.send_all(bytes((byte,)))
            await trio.sleep(chance.random() * 0.02)
        return await _answered(client.answer(number), path)


async def _answered(answer: Awaitable[Answer | None], path: str) -> str:
    try:
        with trio.fail_after(ANSWER_S):
            found = await answer
    except trio.TooSlowError:
        raise Found(f"no answer from {path} in {ANSWER_S:.0f} s") from None
    except HungUp:
        return "hung up"
    return "streams" if found is None else str(found)


ATTACKS: dict[str, tuple[Attack, int]] = {
    "grpc: a message": (a_message, 12),
    "grpc: a broken frame": (a_broken_frame, 3),
    "grpc: headers of any kind": (headers_of_any_kind, 3),
    "grpc: vanishing": (vanishing, 2),
    "grpc: writing slowly": (writing_slowly, 1),
}
