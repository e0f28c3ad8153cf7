"""One log, seen through every way in; and the programs of the docs against a real daemon."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio_websocket import open_websocket_url

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import COMMAND_S, Daemon, Json

pytestmark = pytest.mark.guest

API_GUIDE = Path(__file__).parents[2] / "docs" / "api.md"
PREFIX = "org.chronovisor."


def _websocket_url(daemon: Daemon) -> str:
    address = daemon.ready["websocket"]
    return f"ws://{address['host']}:{address['port']}/v1/events?after=0"


async def _receive_until_caught_up(daemon: Daemon) -> list[Json]:
    token = (daemon.state_dir / "token").read_text().strip()
    headers = [(b"authorization", f"Bearer {token}".encode())]
    received: list[Json] = []
    with trio.fail_after(COMMAND_S):
        async with open_websocket_url(
            _websocket_url(daemon), subprotocols=["cloudevents.json"], extra_headers=headers
        ) as socket:
            while not received or received[-1]["type"] != f"{PREFIX}caught-up.v1":
                received.append(json.loads(await socket.get_message()))
    return received[:-1]


@pytest.mark.fault("subscriber-loses-events")
async def test_the_command_line_and_the_websocket_tell_the_same_story_without_a_gap(
    daemon: Daemon, manifests: Manifests
) -> None:
    await trio.to_thread.run_sync(lambda: daemon.submit(manifests.shell("true"), "--wait"))
    printed = await trio.to_thread.run_sync(daemon.events)
    received = await _receive_until_caught_up(daemon)
    assert [event["position"] for event in printed] == list(range(1, len(printed) + 1))
    assert [(e["position"], e["type"], e["data"]) for e in printed] == [
        (int(e["sequence"]), e["type"].removeprefix(PREFIX), e["data"]) for e in received
    ]


PRINTS = {"gRPC": "COMPLETED 0", "WebSocket": "caught-up", "Python": "host.daemon-started.v1"}


@pytest.mark.parametrize("api", PRINTS)
def test_the_programs_of_the_api_guide_run_as_they_stand(daemon: Daemon, api: str) -> None:
    _, _, section = API_GUIDE.read_text().partition(f"\n## {api}\n")
    program = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **daemon.environment, "CHRONOVISOR_EVENTS": _websocket_url(daemon)},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert PRINTS[api] in done.stdout
