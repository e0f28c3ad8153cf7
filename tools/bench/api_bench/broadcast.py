"""Bare trio-websocket: every message, made beforehand, to every subscriber by a task of its own."""

import time
from functools import partial

import trio
from eventlog_bench.workload import DISTINCT, EVENTS
from trio_websocket import WebSocketRequest, serve_websocket

from api_bench.child import heard, say
from api_bench.words import ECHO_PATH, Burst, Publications, Published, Serving
from eventlog import record
from supervisor.api.cloudevents import cloud_event, encode

MARKER = "{}"
IDENTITY = {"log_id": "018f3c6e-7b1a-7c2d-9e4f-0123456789ab", "node_id": "bench"}


class Broadcast:
    """What was published so far, and its subscribers."""

    def __init__(self) -> None:
        self._texts = texts()
        self._published = 0
        self._change = trio.Event()

    async def converse(self, request: WebSocketRequest) -> None:
        """Serve one subscriber, from what is published next on."""
        connection = await request.accept()
        if request.path == ECHO_PATH:
            await connection.send_message(MARKER)
            while True:
                await connection.send_message(await connection.get_message())
        position = self._published
        await connection.send_message(MARKER)
        while True:
            while position < self._published:
                await connection.send_message(self._texts[position % DISTINCT])
                position += 1
            await self._change.wait()

    async def publish(self, word: Publications) -> Published:
        """Show more to everybody."""
        if isinstance(word, Burst):
            return Published([self._show(word.count)], [])
        at = []
        for _ in range(word.count):
            at.append(self._show(1))
            await trio.sleep(word.pause_s)
        return Published(at, at)

    def _show(self, count: int) -> float:
        at = time.monotonic()
        self._published += count
        waited_for, self._change = self._change, trio.Event()
        waited_for.set()
        return at


def texts() -> list[str]:
    """Return the messages as the daemon sends them."""
    now = time.time_ns()
    placed = (record.place(event, n, n, now, 1)[0] for n, event in enumerate(EVENTS, 1))
    return [encode(cloud_event(each, **IDENTITY)).decode() for each in placed]


async def main() -> None:
    """Serve until the bench has no more to say."""
    broadcast = Broadcast()
    async with trio.open_nursery() as nursery:
        serve = partial(serve_websocket, broadcast.converse, "127.0.0.1", 0, ssl_context=None)
        server = await nursery.start(serve)
        say(Serving(server.port))
        hear = partial(trio.to_thread.run_sync, heard, Publications)
        while (word := await hear()) is not None:
            say(await broadcast.publish(word))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
