"""Whether to send requests here, as a load balancer asks; and whether a peer still lives."""

from contextlib import suppress
from pathlib import Path

import trio
from grpclib.client import Channel
from grpclib.exceptions import StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from supervisor.api.grpc_call import CallBounds
from supervisor.api.readiness import Readiness, Standing
from tests.api.conftest import ask, eventually, start_grpc
from tests.api.memory_supervisor import MemorySupervisor
from tests.api.raw_grpc import frame, headers, raw_client, until_hung_up

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
KEEPALIVE = CallBounds(keepalive_s=0.5)


async def test_a_watcher_sees_the_end_of_recovery_and_the_beginning_of_the_end(
    supervisor: MemorySupervisor, tmp_path: Path
) -> None:
    told: list[int] = []
    readiness = Readiness()

    async def watch(channel: Channel) -> None:
        with suppress(StreamTerminatedError):  # in the end it hangs up
            async with HealthStub(channel).Watch.open() as stream:
                await stream.send_message(HealthCheckRequest(), end=True)
                async for answer in stream:
                    told.append(answer.status)

    async with trio.open_nursery() as clients, trio.open_nursery() as daemon:
        served = await start_grpc(daemon, supervisor, tmp_path, CallBounds(), readiness)
        clients.start_soon(ask, f"unix:{served.unix}", None, watch)
        await eventually(lambda: told == [NOT_SERVING])
        readiness.recovered()
        await eventually(lambda: told == [NOT_SERVING, SERVING])
        readiness.leave()
        await eventually(lambda: told == [NOT_SERVING, SERVING, NOT_SERVING])
        daemon.cancel_scope.cancel()


async def test_calls_are_answered_before_recovery_is_over(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, CallBounds(), Readiness())

    async def check(channel: Channel) -> int:
        return (await HealthStub(channel).Check(HealthCheckRequest())).status

    assert await ask(f"unix:{served.unix}", None, check) == NOT_SERVING


async def test_a_recovery_that_ends_late_does_not_call_a_leaving_daemon_back() -> None:
    readiness = Readiness()
    readiness.leave()
    readiness.recovered()
    assert readiness.standing is Standing.LEAVING


async def test_a_peer_that_answers_no_ping_is_hung_up_on_also_in_mid_call(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, KEEPALIVE)
    async with raw_client(served.unix) as client:
        await client.call(headers("WatchEvents"), frame(b""))
        await until_hung_up(client.stream)  # it reads, but nothing of it is answered


async def test_a_peer_that_answers_pings_may_be_silent(
    supervisor: MemorySupervisor, tmp_path: Path, nursery: trio.Nursery
) -> None:
    served = await start_grpc(nursery, supervisor, tmp_path, KEEPALIVE)
    async with raw_client(served.unix) as client:
        await client.call(headers("WatchEvents"), frame(b""))
        with trio.move_on_after(4 * KEEPALIVE.keepalive_s) as while_silent:
            while data := await client.stream.receive_some():
                client.h2.receive_data(data)  # which is what acknowledges a ping
                await client.flush()
        assert while_silent.cancelled_caught
