"""What the client of another make says, which is a process of its own."""

import json
import os
import sys
from typing import Any

import trio

SUPERVISOR = "chronovisor.v1.Supervisor"
TOKEN_VARIABLE = "STRANGER_TOKEN"


def call(method: str, *messages: dict[str, Any]) -> dict[str, Any]:
    """Return the question that calls a method of the service."""
    return {"ask": "call", "of": [f"{SUPERVISOR}/{method}", *messages]}


async def asked(target: str, *questions: dict[str, Any], token: str = "") -> list[Any]:
    """Return the answer to each question: what came, or the refusal."""
    done = await trio.run_process(
        [sys.executable, "-m", "tests.api.stranger", target],
        stdin=json.dumps(questions).encode(),
        capture_stdout=True,
        env={**os.environ, TOKEN_VARIABLE: token},
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
