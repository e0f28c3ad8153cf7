"""A real daemon tells load balancers when it is ready, and tells strangers what it is."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest
import trio
from chronovisor_api import connect
from grpclib.exceptions import StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tests.api.asked import SUPERVISOR, asked, call
from tests.e2e.daemon_process import COMMAND_S, Daemon

pytestmark = pytest.mark.guest

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def test_a_daemon_serves_after_its_recovery_and_says_so_before_it_leaves(daemon: Daemon) -> None:
    async def watch() -> list[int]:
        told: list[int] = []
        async with (
            asyncio.timeout(COMMAND_S),
            connect(f"unix:{daemon.state_dir}/grpc.sock") as channel,
        ):
            with suppress(StreamTerminatedError):  # in the end it hangs up
                async with HealthStub(channel).Watch.open() as stream:
                    await stream.send_message(HealthCheckRequest(), end=True)
                    async for answer in stream:
                        told.append(answer.status)
                        if answer.status == SERVING:
                            os.kill(daemon.pid, signal.SIGTERM)
        return told

    assert asyncio.run(watch())[-2:] == [SERVING, NOT_SERVING]
    assert daemon.wait() == 0


async def test_a_stranger_learns_from_a_real_daemon_what_to_ask(daemon: Daemon) -> None:
    target = f"unix:{daemon.state_dir}/grpc.sock"
    with trio.fail_after(COMMAND_S):
        services, vms, refused = await asked(
            target, {"ask": "services"}, call("ListVms", {}), call("GetVm", {"vmId": "nobody"})
        )
    assert SUPERVISOR in services
    assert vms == [{}]
    assert refused["details"]["google.rpc.ErrorInfo"]["reason"] == "VM_UNKNOWN"
