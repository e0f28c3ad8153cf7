"""Whether the daemon still serves others: a health check of every listener, all the time."""

import random

import msgspec
import trio
from chronovisor_soak import census
from grpclib.const import Status

from chronovisor_fuzz.http2 import Http2, HungUp, grpc_headers, prefixed
from chronovisor_fuzz.http_attacks import exchange, request
from chronovisor_fuzz.ledger import Ledger
from chronovisor_fuzz.target import Attack, Found, Target, connected
from chronovisor_fuzz.websocket_attacks import handshake

PAUSE_S = 1.0
"""Between two checks of everything."""
GIVE_UP_S = 60.0
"""Longer than this and no answer will come."""


class Health(msgspec.Struct):
    """How long others had to wait; times are in seconds."""

    checks: int = 0
    worst_s: float = 0.0
    resident_most: int = 0
    """In bytes: the daemon's memory, whenever it was looked at."""
    descriptors_most: int = 0


async def watch(
    target: Target,
    pid: int,
    patience_s: float,
    ledger: Ledger,
    health: Health,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Check until cancelled, and be started after the first time; write down what was late."""
    while True:
        for name, check in CHECKS.items():
            began = trio.current_time()
            try:
                with trio.fail_after(GIVE_UP_S):
                    await check(target, random.Random(0))
            except (Found, HungUp, trio.TooSlowError, OSError, trio.BrokenResourceError) as error:
                ledger.found(f"health: {name}", "", f"{type(error).__name__} {error}")
            took = trio.current_time() - began
            if took > patience_s:
                ledger.found(f"health: {name}", "", f"an answer took {took:.0f} s")
            health.checks += 1
            health.worst_s = max(health.worst_s, took)
        _look_at(pid, health)
        if health.checks == len(CHECKS):
            task_status.started()
        await trio.sleep(PAUSE_S)


def _look_at(pid: int, health: Health) -> None:
    try:
        found = census.resources(pid)
    except OSError:
        return  # that it ended is found elsewhere
    health.resident_most = max(health.resident_most, found.resident)
    health.descriptors_most = max(health.descriptors_most, found.descriptors)


async def _http(target: Target, _chance: random.Random) -> str:
    status = await exchange(target, request(target, "GET", "/healthz"), GIVE_UP_S)
    if status != "200":
        raise Found(f"/healthz was answered with {status}")
    return status


async def _grpc(target: Target, _chance: random.Random) -> str:
    stream = trio.SocketStream(trio.socket.socket(trio.socket.AF_UNIX))
    await stream.socket.connect(str(target.unix))
    async with stream:
        client = Http2(stream)
        await client.begin()
        fields = grpc_headers(target, "/grpc.health.v1.Health/Check")
        answer = await client.answer(await client.call(fields, prefixed(b"")))
    if answer is None or answer.status is not Status.OK:
        raise Found(f"the health service answered {answer}")
    return "OK"


async def _websocket(target: Target, _chance: random.Random) -> str:
    async with connected(target.websocket) as stream:
        await stream.send_all(handshake(target, "/v1/events?after=0"))
        received = await stream.receive_some(12)
    if received != b"HTTP/1.1 101":
        raise Found(f"a handshake was answered with {received!r}")
    return "101"


CHECKS: dict[str, Attack] = {"http": _http, "grpc": _grpc, "websocket": _websocket}
