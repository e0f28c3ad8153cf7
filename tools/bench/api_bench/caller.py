"""A gRPC client that does as little as a client may: its messages are bytes, made beforehand."""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any

import msgspec
from chronovisor_api import v1
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase
from h2.exceptions import StreamClosedError

from api_bench.child import serve
from api_bench.words import Answered, Calls, Submit, Watch, Watched

SERVICE = "/chronovisor.v1.Supervisor"


class Bytes(CodecBase):
    """Messages as they are on the wire."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Return the message."""
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        """Return the message."""
        return data


async def submit(word: Submit) -> Answered:
    """Submit, some at once, each going on when it is answered."""
    manifest = v1.Manifest.FromString(word.manifest)
    each_s: list[float] = []
    answers: list[bytes] = []
    requests = iter([bytes(_request(manifest)) for _ in range(word.count)])

    async def go_on(method: UnaryUnaryMethod[bytes, bytes]) -> None:
        for request in requests:
            begun = time.perf_counter()
            answers.append(await method(request))
            each_s.append(time.perf_counter() - begun)

    async with Channel(path=word.socket, codec=Bytes()) as channel:
        method = UnaryUnaryMethod(channel, f"{SERVICE}/SubmitComputation", bytes, bytes)
        begun = time.perf_counter()
        await asyncio.gather(*(go_on(method) for _ in range(word.in_flight)))
        return Answered(each_s, time.perf_counter() - begun, answers[-1])


def _request(manifest: v1.Manifest) -> v1.SubmitComputationRequest:
    return v1.SubmitComputationRequest(manifest=manifest, idempotency_key=secrets.token_hex(16))


async def watch(word: Watch) -> Watched:
    """Take events that there are."""
    async with Channel(path=word.socket, codec=Bytes()) as channel:
        method = UnaryStreamMethod(channel, f"{SERVICE}/WatchEvents", bytes, bytes)
        messages: list[bytes] = []
        begun = time.perf_counter()
        async with method.open() as stream:
            await stream.send_message(bytes(v1.WatchEventsRequest()), end=True)
            while len(messages) < word.count:
                message = await stream.recv_message()
                if message is None:
                    raise EOFError("the stream has ended")
                messages.append(message)
            all_s = time.perf_counter() - begun
            with suppress(StreamClosedError):  # the echo has no more, and has ended it
                await stream.cancel()
    return Watched(messages, all_s)


def _answer(word: Calls) -> msgspec.Struct:
    return asyncio.run(submit(word) if isinstance(word, Submit) else watch(word))


if __name__ == "__main__":
    serve(Calls, _answer)
