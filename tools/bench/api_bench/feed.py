"""Our event log and its WebSocket API as the daemon runs them, without VMs: only events."""

import socket
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import trio
from eventlog_bench.fanout import opening
from eventlog_bench.workload import EVENTS, fill

from api_bench.child import heard, say
from api_bench.words import TOKEN, Burst, Publications, Published, Serving
from eventlog import EventLog, open_over
from supervisor.api.auth import Credentials, Door
from supervisor.api.websocket import serve_websocket
from supervisor.api.websocket_peer import BOUNDS
from supervisor.consoles import Consoles
from supervisor.registry import Registry
from supervisor.telemetry.metrics import Metrics

CLIENTS = 2048
BATCH = 32
"""Events in one append of a burst, as group commit with so many producers leaves them."""


async def publish(log: EventLog, durable: list[float], word: Publications) -> Published:
    """Append events; each is durable before a subscriber has it."""
    begun = time.monotonic()
    if isinstance(word, Burst):
        await fill(log, word.count, BATCH)
        return Published([begun], [])
    durable.clear()
    at = []
    for _ in range(word.count):
        at.append(time.monotonic())
        await log.append([EVENTS[0]])
        await trio.sleep(word.pause_s)
    return Published(at, durable)


async def main(directory: Path) -> None:
    """Serve until the bench has no more to say."""
    bounds = msgspec.structs.replace(BOUNDS, clients=CLIENTS)
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        tcp.setblocking(False)
        durable: list[float] = []
        stamped = partial(opening, directory, lambda: durable.append(time.monotonic()))
        async with open_over(stamped) as log, trio.open_nursery() as nursery:
            consoles = Consoles(Registry(), directory, nursery)
            door = Door(Credentials(TOKEN))
            serve = partial(serve_websocket, log, consoles, tcp=tcp, door=door, bounds=bounds)
            serve = partial(serve, metrics=Metrics())
            await nursery.start(serve)
            say(Serving(tcp.getsockname()[1]))
            hear = partial(trio.to_thread.run_sync, heard, Publications)
            while (word := await hear()) is not None:
                say(await publish(log, durable, word))
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
