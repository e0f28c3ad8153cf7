"""Schemathesis on the daemon's own OpenAPI document, in rounds of other seeds.

It runs as a process of its own, beside the other attacks, and its report is read. Two of its checks
are left out. Data that fit their schema may be refused: a manifest has rules that no schema can
say, and a page token is one that was given. And events never end, which it would wait for.
"""

import os
import random
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import trio

from chronovisor_fuzz.ledger import Ledger
from chronovisor_fuzz.target import Target

NAME = "openapi"
EXAMPLES = 30
"""Of each operation in one round, which then takes a minute or two."""
ROUND_S = 900.0
"""For a round on a busy machine; one that takes longer hangs."""
EXCLUDED = "positive_data_acceptance"
CONFIGURATION = """\
headers = {{ Authorization = "Bearer {token}" }}
request-timeout = 60.0
{parameters}
[[operations]]
include-operation-id = "followEvents"
enabled = false
"""
KNOWN_VM = 'parameters = {{ "path.vm_id" = "{vm_id}" }}'
"""Every second round is about a VM that may be there; the others learn that there is none."""


def is_installed() -> bool:
    """Return whether there is a Schemathesis to run."""
    return find_spec("schemathesis") is not None


async def attack(target: Target, chance: random.Random, ledger: Ledger, directory: Path) -> None:
    """Make rounds until cancelled."""
    while True:
        await _one_round(target, chance, ledger, directory)


async def _one_round(
    target: Target, chance: random.Random, ledger: Ledger, directory: Path
) -> None:
    """Let Schemathesis try every operation."""
    seed = chance.randrange(2**31)
    configuration, report = directory / "schemathesis.toml", directory / "report.json"
    report.unlink(missing_ok=True)
    parameters = KNOWN_VM.format(vm_id=chance.choice(target.vm_ids)) if seed % 2 else ""
    configuration.touch(0o600)  # it holds the token
    configuration.write_text(CONFIGURATION.format(token=target.token, parameters=parameters))
    with trio.move_on_after(ROUND_S) as patience:
        output = await _run(target, configuration, report, seed)
    if patience.cancelled_caught:
        ledger.found(NAME, str(seed), f"a round was not over in {ROUND_S:.0f} s")
        return
    try:
        told = msgspec.json.decode(report.read_bytes())
    except (OSError, msgspec.DecodeError):
        ledger.found(NAME, str(seed), f"Schemathesis failed: {output[-2000:]}")
        return
    ledger.came_of(NAME, "requests", int(told["test_cases"]["generated"]))
    for what in _failures(told):
        ledger.found(NAME, str(seed), what)
        shutil.copy(report, directory / f"report-{seed}.json")  # which requests they were


async def _run(target: Target, configuration: Path, report: Path, seed: int) -> str:
    url = f"http://{target.http.host}:{target.http.port}/openapi.json"
    options = (
        *("--seed", str(seed), "--max-examples", str(EXAMPLES), "--no-color"),
        *("--checks", "all", "--exclude-checks", EXCLUDED),
    )
    reports = ("--report", "json", "--report-json-path", str(report))
    done = await trio.run_process(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration)),
            *("run", url, *options, *reports, "--generation-database", "none", "--warnings", "off"),
        ],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        cwd=report.parent,
        env={**os.environ, "COLUMNS": "160"},
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def _failures(told: dict[str, Any]) -> Iterator[str]:
    for failure in told["failures"]:
        where = msgspec.json.encode(failure["operations"]).decode()
        yield f"{failure['title']}: {where[:2000]}"
    for error in told.get("errors", ()):
        yield f"error: {msgspec.json.encode(error).decode()[:2000]}"
