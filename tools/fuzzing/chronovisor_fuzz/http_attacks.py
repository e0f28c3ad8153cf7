"""What hostile clients do to HTTP/1.1: requests of any kind, slow ones, broken ones, cut ones."""

import random
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import trio

from chronovisor_fuzz.target import Attack, Found, Target, connected, read_on

ANSWER_S = 90.0
"""What a request may take at most, and a busy machine makes of it."""
STREAM_S = 2.0
ANSWER_MOST = 1 << 20
TRICKLE_S = 6.0
FLOOD_REQUESTS = 300
ORDERS = ("start", "stop", "kill", "pause", "resume", "reset")
OF_A_VM = (*ORDERS, "result", "console", "transcript", "inputs/p/i")
PATHS = (
    *("/healthz", "/readyz", "/metrics", "/openapi.json", "/run", "/", "/v1", "/nowhere"),
    *("/v1/computations", "/v1/vms", "/v1/log", "/v1/events", "/v1/vms/{vm}"),
    *("/v1/artifacts", "/v1/artifacts/{sha}"),
    *(f"/v1/vms/{{vm}}/{each}" for each in OF_A_VM),
)
METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")
QUERIES = (
    *("after", "log_id", "vm_id", "type", "phase", "label", "page_size", "page_token"),
    *("grace_ms", "log", "launch", "follow"),
)
VALUES = ("0", "1", "-1", "9" * 30, "", "x", "true", "%", "%00", "%ff", "a=b", "[", "\xc3\xa4")
NAMES = ("a", "..", "%2e%2e", "%00", "\xc3\xa4", "x" * 300, "A B", "%", ";")
HEADERS = (
    ("Host", ("localhost", "evil", "", "localhost:99999999")),
    (
        "Content-Type",
        ("application/json", "text/html", "multipart/form-data", "application/json;x"),
    ),
    ("Idempotency-Key", ("k", "", "x" * 200, "\x7f")),
    ("Last-Event-ID", ("1", "x", "/", "9" * 20, "l/1")),
    ("Expect", ("100-continue", "the unexpected")),
    ("Connection", ("close", "upgrade", "keep-alive, x")),
    ("Upgrade", ("h2c", "websocket")),
    ("Transfer-Encoding", ("chunked", "gzip", "chunked, chunked")),
    ("Content-Length", ("0", "2", "-1", "99999999999999999999", "1, 2")),
    ("Origin", ("null", "http://localhost")),
    ("Range", ("bytes=0-", "bytes=9-1")),
    ("traceparent", ("00-" + "0" * 40,)),
)
Task = Callable[[], Awaitable[None]]
BODIES = (
    b"",
    b"{}",
    b"[",
    b"\xff" * 40,
    b"null",
    b'{"name": 1}',
    b"5\r\nhello\r\n0\r\n\r\n",
    b"x\r\n",
)


async def a_request(target: Target, chance: random.Random) -> str:
    """Send a request made of parts that mean something, and parts that do not."""
    path = chance.choice(PATHS).format(vm=_name(target, chance), sha=target.sha256)
    pairs = [
        f"{chance.choice(QUERIES)}={_value(target, chance)}" for _ in range(chance.randrange(3))
    ]
    headers = {"Host": "localhost", "Authorization": f"Bearer {target.token}"}
    headers |= {
        name: chance.choice(some) for name, some in chance.sample(HEADERS, chance.randrange(4))
    }
    line = f"{chance.choice(METHODS)} {path}{'?' if pairs else ''}{'&'.join(pairs)} HTTP/1.1"
    head = "\r\n".join((line, *(f"{name}: {value}" for name, value in headers.items())))
    sent = head.encode("latin-1") + b"\r\n\r\n" + chance.choice(BODIES)
    return await exchange(target, sent, STREAM_S)


async def a_spoilt_request(target: Target, chance: random.Random) -> str:
    """Send a proper request of which some bytes are others, or which is cut."""
    proper = bytearray(request(target, "POST", "/v1/computations", b'{"name": "n"}'))
    for _ in range(chance.randint(1, 6)):
        proper[chance.randrange(len(proper))] = chance.choice((0, 10, 13, 32, 58, 255))
    return await exchange(target, bytes(proper[: chance.randint(1, len(proper))]), STREAM_S)


async def a_broken_body(target: Target, chance: random.Random) -> str:
    """Send a body whose chunks or length are not what they say, then leave half."""
    chunks = (b"-1\r\n", b"ffffffffffffffffff\r\n", b"5;" + b"x" * 30_000, b"5\r\nab", b"\r\n\r\n")
    head = "POST /v1/artifacts HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {target.token}\r\n"
    if chance.random() < 0.6:
        body = b"Transfer-Encoding: chunked\r\n\r\n" + chance.choice(chunks)
    else:
        body = b"Content-Length: 1000000\r\n\r\n" + bytes(chance.choice((0, 10, 100_000)))
    async with connected(target.http) as stream:
        await stream.send_all(head.encode() + body)
        await stream.send_eof()
        return judged(await read_on(stream, STREAM_S, ANSWER_MOST))


async def a_header_bomb(target: Target, chance: random.Random) -> str:
    """Send headers that are too many, too long, or never end."""
    line = chance.choice(
        (b"X: " + b"x" * 100_000 + b"\r\n", b"X: y\r\n" * 5000, b" folded\r\n" * 5000)
    )
    return await exchange(target, b"GET /v1/vms HTTP/1.1\r\nHost: localhost\r\n" + line, STREAM_S)


async def trickling(target: Target, chance: random.Random) -> str:
    """Hold many connections, each with a request that comes byte by byte (slowloris)."""
    proper = request(target, "POST", "/v1/computations", b"{}")

    async def trickle() -> None:
        async with connected(target.http) as stream:
            for byte in proper:
                await stream.send_all(bytes((byte,)))
                await trio.sleep(chance.random() * 0.3)

    with trio.move_on_after(TRICKLE_S):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(_forgiving(trickle))
    return "left"


async def vanishing(target: Target, chance: random.Random) -> str:
    """Leave in the middle of an upload, of an order, or of the events."""
    sent = chance.choice(
        (
            request(target, "POST", "/v1/artifacts", bytes(200_000))[:100_000],
            request(target, "POST", f"/v1/vms/{_name(target, chance)}/kill"),
            request(target, "GET", "/v1/events"),
            request(target, "GET", f"/v1/vms/{target.vm_ids[0]}/console?follow=true"),
        )
    )
    async with connected(target.http) as stream:
        await stream.send_all(sent)
        await trio.sleep(chance.choice((0.0, 0.02, 0.5)))
    return "left"


async def half_closed(target: Target, chance: random.Random) -> str:
    """Ask properly, say that nothing more comes, and wait for the answer."""
    path = chance.choice(("/healthz", "/v1/vms", "/metrics", "/openapi.json"))
    async with connected(target.http) as stream:
        await stream.send_all(request(target, "GET", path))
        await stream.send_eof()
        return judged(await read_on(stream, ANSWER_S, ANSWER_MOST))


async def reading_slowly(target: Target, chance: random.Random) -> str:
    """Ask for all events and take them a few bytes at a time, or not at all."""
    async with connected(target.http) as stream:
        await stream.send_all(request(target, "GET", "/v1/events"))
        for _ in range(chance.randrange(30)):
            with trio.move_on_after(0.1):
                await stream.receive_some(100)
            await trio.sleep(0.1)
    return "left"


async def pipelining(target: Target, chance: random.Random) -> str:
    """Ask hundreds of times at once, and read the answers late."""
    path = chance.choice(("/healthz", "/v1/vms", "/openapi.json", "/nowhere"))
    once = request(target, "GET", path).replace(b"Connection: close\r\n", b"")
    async with connected(target.http) as stream:
        with trio.move_on_after(STREAM_S):
            await stream.send_all(once * FLOOD_REQUESTS)
        await trio.sleep(chance.random())
        received = await read_on(stream, STREAM_S, 4 * ANSWER_MOST)
    return judged(received)


def request(target: Target, method: str, path: str, body: bytes = b"") -> bytes:
    """Return a proper request, after whose answer the connection is closed."""
    headers = (
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {target.token}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        f"Idempotency-Key: {secrets.token_hex(8)}",
        "Connection: close",
    )
    return "\r\n".join(headers).encode() + b"\r\n\r\n" + body


async def exchange(target: Target, sent: bytes, seconds: float) -> str:
    """Send bytes and return what kind of answer came to them. Raises Found."""
    async with connected(target.http) as stream:
        await stream.send_all(sent)
        return judged(await read_on(stream, seconds, ANSWER_MOST))


def judged(received: bytes) -> str:
    """Return the status of an answer. Raises Found if it is one that must not be."""
    if not received:
        return "no answer"
    line = received.partition(b"\r\n")[0].decode("latin-1")
    if not line.startswith("HTTP/1.1 "):
        raise Found(f"an answer that is none: {line[:100]!r}")
    status = line.split()[1]
    if status == "500":
        raise Found(f"HTTP 500: {received[-300:].decode('latin-1')}")
    return status


def _name(target: Target, chance: random.Random) -> str:
    return chance.choice(target.vm_ids if chance.random() < 0.6 else NAMES)


def _value(target: Target, chance: random.Random) -> str:
    mine = (*map(quote, target.vm_ids), target.log_id, "vm.submitted.v1", "running")
    return chance.choice((*mine, *VALUES))


def _forgiving(what: Task) -> Task:
    async def run() -> None:
        try:
            await what()
        except (OSError, trio.BrokenResourceError):
            return  # hung up on, as it should be

    return run


ATTACKS: dict[str, tuple[Attack, int]] = {
    "http: a request": (a_request, 12),
    "http: a spoilt request": (a_spoilt_request, 4),
    "http: a broken body": (a_broken_body, 2),
    "http: a header bomb": (a_header_bomb, 1),
    "http: trickling": (trickling, 1),
    "http: vanishing": (vanishing, 2),
    "http: half closed": (half_closed, 1),
    "http: reading slowly": (reading_slowly, 1),
    "http: pipelining": (pipelining, 1),
}
