"""The WebSocket as clients see it that nobody here wrote: Node's own, and `websockets`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from supervisor.api.websocket_peer import BOUNDS
from tests.api.asked import TOKEN_VARIABLE
from tests.api.conftest import TOKEN, StartWebsocket
from tests.api.memory_supervisor import MemorySupervisor

PROGRAMS = {
    "websockets": [sys.executable, "-m", "tests.api.websocket_stranger"],
    "node": ["node", "--experimental-websocket", str(Path(__file__).parent / "node/websocket.js")],
}
START_S = 60
CAUGHT_UP = b"org.chronovisor.caught-up.v1"


@pytest.fixture(name="program", params=PROGRAMS)
def _program(request: pytest.FixtureRequest) -> list[str]:
    program = PROGRAMS[request.param]
    if request.param == "node" and not _node_has_one():
        pytest.skip("there is no Node here that has a WebSocket of its own")
    return program


def _node_has_one() -> bool:
    if shutil.which("node") is None:
        return False
    question = ["node", "--experimental-websocket", "-e", "WebSocket"]
    return subprocess.run(question, capture_output=True, timeout=START_S).returncode == 0


async def started(program: list[str], url: str, token: str) -> trio.Process:
    environment = {**os.environ, TOKEN_VARIABLE: token, "NODE_NO_WARNINGS": "1"}
    return await trio.lowlevel.open_process(
        [*program, url], stdout=subprocess.PIPE, env=environment
    )


async def test_a_stranger_gets_the_past_the_mark_and_what_happens(
    supervisor: MemorySupervisor, start_websocket: StartWebsocket, program: list[str]
) -> None:
    await supervisor.say(3)
    url = f"ws://{await start_websocket(BOUNDS)}/v1/events?after=1&subject=vm/a"
    process = await started(program, url, TOKEN)
    assert process.stdout is not None
    async with process.stdout as stdout:
        told = b""
        while not (CAUGHT_UP in told and told.endswith(b"\n")):
            told += await stdout.receive_some()
        await supervisor.say(1)
        told += b"".join([part async for part in stdout])
    assert await process.wait() == 0
    *events, end = map(json.loads, told.splitlines())
    assert [int(event["sequence"]) for event in events] == [2, 3, 3, 4]
    assert events[3]["data"] == {"text": "x" * 10}
    assert end == {"closed": 1000, "protocol": "cloudevents.json"}


async def test_a_stranger_without_the_token_is_refused(
    start_websocket: StartWebsocket, program: list[str]
) -> None:
    url = f"ws://{await start_websocket(BOUNDS)}/v1/events"
    process = await started(program, url, "wrong")
    assert process.stdout is not None
    async with process.stdout as stdout:
        told = b"".join([part async for part in stdout])
    assert await process.wait() == 0
    assert json.loads(told.splitlines()[0]) == {"refused": True}
