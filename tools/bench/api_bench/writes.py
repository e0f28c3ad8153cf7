"""The floor of a fan-out: a loop that writes one frame to one socket after the other, and no more.

No log, no tasks, no library but for the handshake; what each write costs is the kernel's.
"""

import os
import time
from functools import partial

import trio
from eventlog_bench.workload import DISTINCT
from trio_websocket import wrap_server_stream

from api_bench.broadcast import MARKER, texts
from api_bench.child import heard, say
from api_bench.words import Paced, Published, Serving
from supervisor.api.frames import text_frame


class Writes:
    """The sockets of all subscribers, and what they are sent."""

    def __init__(self) -> None:
        self._frames = [text_frame(text.encode()) for text in texts()]
        self._sockets: list[int] = []

    async def converse(self, stream: trio.SocketStream) -> None:
        """Let one subscriber in."""
        async with trio.open_nursery() as reading:
            connection = await (await wrap_server_stream(reading, stream)).accept()
            await connection.send_message(MARKER)
            self._sockets.append(stream.socket.fileno())
            await trio.sleep_forever()

    async def publish(self, word: Paced) -> Published:
        """Write single frames to everybody."""
        at = []
        for number in range(word.count):
            at.append(time.monotonic())
            for each in self._sockets:
                os.write(each, self._frames[number % DISTINCT])
            await trio.sleep(word.pause_s)
        return Published(at, at)


async def main() -> None:
    """Serve until the bench has no more to say."""
    writes = Writes()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, writes.converse, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        say(Serving(listener.socket.getsockname()[1]))
        hear = partial(trio.to_thread.run_sync, heard, Paced)
        while (word := await hear()) is not None:
            say(await writes.publish(word))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
