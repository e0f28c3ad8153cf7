"""A thousand clients at once: each gets its answer in time, and nobody is forgotten."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest
from chronovisor_api import v1
from chronovisor_api.channel import connect
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, qemu_pids, running
from tests.e2e.test_while_away import until

pytestmark = pytest.mark.guest

CLIENTS = 1000
ROOM = 601
"""VMs there may be: fewer than are asked for, the first one included."""

ANSWERED_S = 60
OPTIONS = ("--max-running", "1", "--max-vms", str(ROOM))


async def submit_all(socket: Path, like: str) -> Counter[Status]:
    """Submit what ``like`` runs a thousand times; return how many were answered how."""
    answers: Counter[Status] = Counter()
    async with connect(f"unix:{socket}") as channel:
        stub = v1.SupervisorStub(channel)
        manifest = (await stub.get_vm(v1.GetVmRequest(vm_id=like))).manifest

        async def submit(number: int) -> None:
            request = v1.SubmitComputationRequest(
                manifest=manifest, idempotency_key=f"client-{number}"
            )
            try:
                await stub.submit_computation(request)
                answers[Status.OK] += 1
            except GRPCError as refused:
                answers[refused.status] += 1

        async with asyncio.timeout(ANSWERED_S), asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(submit(number))
    return answers


def queue(daemon: Daemon) -> dict[str, int]:
    vms = daemon.json("list", "--phase", "queued")["vms"]
    return {vm["vm_id"]: vm["queue_position"] for vm in vms}


@pytest.mark.fault("thousand-submissions")
def test_a_thousand_submissions_at_once_are_taken_or_refused_and_nobody_is_forgotten(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with running(stopped_daemon, *OPTIONS) as daemon:
        first = daemon.submit(manifests.shell("exec sleep 1000"))["vm_id"]
        daemon.wait_for(first, "vm.guest-started.v1")
        answers = asyncio.run(submit_all(Path(daemon.ready["unix"]), first))
        assert answers == {
            Status.OK: ROOM - 1,
            Status.RESOURCE_EXHAUSTED: CLIENTS - ROOM + 1,
        }
        until(lambda: len(daemon.events("--type", "vm.queued.v1")) == ROOM - 1)
        before = queue(daemon)
        assert sorted(before.values()) == list(range(1, ROOM))
        assert len(qemu_pids(daemon.state_dir)) == 1

        daemon.end(signal.SIGKILL)
        daemon.start(*OPTIONS)
        assert queue(daemon) == before
        following = min(before, key=before.__getitem__)
        daemon.run("kill", first)
        daemon.wait_for(following, "vm.guest-started.v1")
        assert len(qemu_pids(daemon.state_dir)) == 1
