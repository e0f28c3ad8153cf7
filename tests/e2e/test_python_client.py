"""The Python client against a real daemon that is killed and started again under it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from chronovisor_api import Client, v1

from tests.e2e.daemon_process import COMMAND_S, Daemon

pytestmark = pytest.mark.guest

GUIDE = Path(__file__).parents[2] / "docs" / "python-client.md"
KILLS = 5
LAST = "last"


async def _positions_until_the_last(client: Client) -> list[int]:
    positions: list[int] = []
    async for event in client.watch():
        positions.append(event.position)
        if event.stream == f"vm/{LAST}":
            break
    return positions


async def _submit_while_it_is_killed(client: Client, daemon: Daemon, manifest: v1.Manifest) -> None:
    for number in range(KILLS):
        await client.submit(manifest, vm_id=f"before-{number}")
        await asyncio.to_thread(daemon.end, signal.SIGKILL)
        submission = asyncio.create_task(client.submit(manifest, vm_id=f"while-{number}"))
        await asyncio.to_thread(daemon.start, "--max-running", "1")
        await submission
    await client.submit(manifest, vm_id=LAST)


def test_a_watch_has_every_position_once_while_the_daemon_is_killed_and_started(
    stopped_daemon: Daemon, tmp_path: Path
) -> None:
    algorithm = tmp_path / "algorithm.sh"
    algorithm.write_text("#!/bin/sh\nsleep 600\n")

    async def client() -> tuple[list[int], list[str]]:
        target = f"unix:{stopped_daemon.state_dir}/grpc.sock"
        async with asyncio.timeout(COMMAND_S), Client(target) as client:
            watch = asyncio.create_task(_positions_until_the_last(client))
            sha256 = await client.upload(algorithm)
            manifest = v1.Manifest(name="long", algorithm=v1.Algorithm(sha256=sha256))
            await _submit_while_it_is_killed(client, stopped_daemon, manifest)
            return await watch, [vm.vm_id async for vm in client.list()]

    stopped_daemon.start("--max-running", "1")
    positions, vm_ids = asyncio.run(client())
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) > 4 * KILLS
    taken = [f"{when}-{number}" for when in ("before", "while") for number in range(KILLS)]
    assert vm_ids == sorted([*taken, LAST])


def test_the_program_of_the_guide_runs_as_it_stands(daemon: Daemon, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **daemon.environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "COMPLETED 0"
    assert lines[-2].endswith(" vm.stopped.v1")
    assert lines[-1] == "VM_UNKNOWN () None"
    with tarfile.open(tmp_path / "answer.tar") as archive:
        assert any(name.endswith("answer") for name in archive.getnames())
