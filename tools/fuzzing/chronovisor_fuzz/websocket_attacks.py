"""What hostile clients do to the WebSocket: handshakes and frames of any kind (RFC 6455)."""

import random
import struct

import trio
import trio.lowlevel

from chronovisor_fuzz.http_attacks import judged
from chronovisor_fuzz.target import Attack, Found, Target, connected, read_on

ANSWER_S = 60.0
LISTEN_S = 2.0
FLOOD_S = 2.0
READ_MOST = 1 << 20
PATHS = ("/v1/events", "/v1/events?after=0", "/v1/console/{vm}")
WRONG = (
    (
        "GET {path} HTTP/1.1",
        ("GET /nowhere HTTP/1.1", "POST {path} HTTP/1.1", "GET {path} HTTP/1.0"),
    ),
    (
        "GET {path} HTTP/1.1",
        ("GET /v1/events?after=x HTTP/1.1", "GET //[ HTTP/1.1", "GET  HTTP/1.1"),
    ),
    ("Host: localhost", ("Host: evil.example", "Host: ", "X: y")),
    ("Upgrade: websocket", ("Upgrade: h2c", "X: y")),
    ("Connection: Upgrade", ("Connection: close", "X: y")),
    ("Sec-WebSocket-Version: 13", ("Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: x", "X: y")),
    ("Sec-WebSocket-Key: {key}", ("Sec-WebSocket-Key: x", "Sec-WebSocket-Key: ", "X: y")),
    ("Authorization: Bearer {token}", ("Authorization: Bearer x", "X: y")),
    (
        "Sec-WebSocket-Protocol: cloudevents.json",
        ("Sec-WebSocket-Protocol: " + "x," * 500, "X: \xff"),
    ),
    (
        "Sec-WebSocket-Protocol: cloudevents.json",
        ("Sec-WebSocket-Extensions: permessage-deflate", "X"),
    ),
)
PROPER = (
    "GET {path} HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: {key}",
    "Authorization: Bearer {token}",
    "Sec-WebSocket-Protocol: cloudevents.json",
)


def handshake(target: Target, path: str, lines: tuple[str, ...] = PROPER) -> bytes:
    """Return a request for an upgrade."""
    values = {"path": path, "key": "AAAAAAAAAAAAAAAAAAAAAA==", "token": target.token}
    return ("\r\n".join(lines).format(**values) + "\r\n\r\n").encode("latin-1")


async def a_handshake(target: Target, chance: random.Random) -> str:
    """Ask for an upgrade of which one or two lines are wrong."""
    lines: tuple[str, ...] = PROPER
    for proper, wrong in chance.sample(WRONG, chance.randint(1, 2)):
        lines = tuple(chance.choice(wrong) if line == proper else line for line in lines)
    async with connected(target.websocket) as stream:
        await stream.send_all(handshake(target, _path(target, chance), lines))
        return judged(await read_on(stream, LISTEN_S, READ_MOST))


async def frames_of_any_kind(target: Target, chance: random.Random) -> str:
    """Send frames with any opcode, flags, mask, length and contents."""
    sent = b"".join(_any_frame(chance) for _ in range(chance.randint(1, 30)))
    return await _converse(target, sent)


async def a_huge_length(target: Target, chance: random.Random) -> str:
    """Announce a message of 2^63 bytes, and send what one can of it."""
    opcode = chance.choice((1, 2, 9))
    head = struct.pack(
        ">BBQ", 0x80 | opcode, 0xFF, chance.choice((2**16, 2**31, 2**63 - 1, 2**64 - 1))
    )
    return await _converse(target, head + bytes(4 + 65_536))


async def fragments(target: Target, chance: random.Random) -> str:
    """Send a message of empty fragments that never ends."""
    many = _frame(0, b"") * 500
    async with connected(target.websocket) as stream:
        await _upgrade(target, stream)
        await stream.send_all(_frame(chance.choice((1, 2)), b""))
        return await _flood(stream, many)


async def pings(target: Target, chance: random.Random) -> str:
    """Ask for pongs and take none."""
    async with connected(target.websocket) as stream:
        await _upgrade(target, stream)
        return await _flood(stream, _frame(0x89, bytes(chance.choice((0, 125)))) * 200)


async def closing_badly(target: Target, chance: random.Random) -> str:
    """Send a close with a code or reason that must not be, then more."""
    code = chance.choice((0, 999, 1000, 1004, 1005, 1006, 1015, 2999, 5000, 65_535))
    body = chance.choice(
        (b"", b"\3", struct.pack(">H", code), struct.pack(">H", code) + b"\xff" * 123)
    )
    return await _converse(target, _frame(0x88, body) + _frame(0x81, b"more"))


async def half_open(target: Target, chance: random.Random) -> str:
    """Say after the upgrade that nothing more comes; or vanish; or before it."""
    async with connected(target.websocket) as stream:
        proper = handshake(target, _path(target, chance))
        await stream.send_all(proper[: chance.choice((1, 30, len(proper), len(proper)))])
        if chance.random() < 0.7:
            await stream.send_eof()
        await read_on(stream, LISTEN_S, READ_MOST)
    return "left"


async def taking_nothing(target: Target, chance: random.Random) -> str:
    """Ask for all events and read none of them."""
    async with connected(target.websocket) as stream:
        await stream.send_all(handshake(target, "/v1/events?after=0"))
        await trio.sleep(LISTEN_S * chance.random() * 3)
    return "left"


async def trickling(target: Target, chance: random.Random) -> str:
    """Ask for an upgrade byte by byte."""
    async with connected(target.websocket) as stream:
        for byte in handshake(target, "/v1/events"):
            await stream.send_all(bytes((byte,)))
            await trio.sleep(chance.random() * 0.02)
        return judged(await read_on(stream, LISTEN_S, READ_MOST))


async def _converse(target: Target, sent: bytes) -> str:
    async with connected(target.websocket) as stream:
        await _upgrade(target, stream)
        await stream.send_all(sent)
        received = await read_on(stream, LISTEN_S, READ_MOST)
    return "answered" if received else "hung up"


async def _upgrade(target: Target, stream: trio.SocketStream) -> None:
    """Upgrade. Raises Found if that is refused for no reason."""
    await stream.send_all(handshake(target, "/v1/events?after=0"))
    with trio.move_on_after(ANSWER_S):
        received = await stream.receive_some(16)
        if received[:12] in (b"HTTP/1.1 101", b"HTTP/1.1 429"):
            return
        raise Found(f"a proper handshake was answered with {received!r}")
    raise Found(f"a proper handshake was not answered in {ANSWER_S:.0f} s")


async def _flood(stream: trio.SocketStream, frames: bytes) -> str:
    with trio.move_on_after(FLOOD_S):
        while True:
            await stream.send_all(frames)
            await trio.lowlevel.checkpoint()
    return "took all of it"


def _any_frame(chance: random.Random) -> bytes:
    body = chance.randbytes(chance.choice((0, 1, 2, 125, 126, 300)))
    frame = bytearray(_frame(chance.randrange(256), body))
    if chance.random() < 0.3:
        frame[1] = chance.randrange(256)
    return bytes(frame)


def _frame(first: int, body: bytes) -> bytes:
    if len(body) < 126:
        head = struct.pack(">BB", first, 0x80 | len(body))
    else:
        head = struct.pack(">BBH", first, 0x80 | 126, len(body))
    return head + bytes(4) + body  # a mask of zeros changes nothing


def _path(target: Target, chance: random.Random) -> str:
    return chance.choice(PATHS).format(vm=chance.choice(target.vm_ids))


ATTACKS: dict[str, tuple[Attack, int]] = {
    "websocket: a handshake": (a_handshake, 3),
    "websocket: frames of any kind": (frames_of_any_kind, 6),
    "websocket: a huge length": (a_huge_length, 1),
    "websocket: fragments": (fragments, 1),
    "websocket: pings": (pings, 1),
    "websocket: closing badly": (closing_badly, 2),
    "websocket: half open": (half_open, 1),
    "websocket: taking nothing": (taking_nothing, 1),
    "websocket: trickling": (trickling, 1),
}
