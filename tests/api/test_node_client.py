"""The same service as Node sees it: @grpc/grpc-js with the contract's own files."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from tests.api.asked import TOKEN_VARIABLE
from tests.api.conftest import TOKEN, Served

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "node"
INSTALLED = ROOT / ".cache" / "node"
INSTALL_S = 120
CALL_S = 30


@pytest.fixture(name="packages", scope="module")
def _packages() -> Path:
    """The folder with what the program needs, installed once for each list of packages."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    wanted = (PROGRAM / "package.json").read_bytes()
    directory = INSTALLED / hashlib.sha256(wanted).hexdigest()[:16]
    if not (directory / "installed").exists():
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "package.json").write_bytes(wanted)
        _install(directory)
        (directory / "installed").touch()
    return directory


def _install(directory: Path) -> None:
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=INSTALL_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        pytest.skip(f"npm cannot install @grpc/grpc-js here: {said[-200:]}")


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_node_uploads_submits_watches_and_reads_a_refusal(
    served: Served, packages: Path, transport: str
) -> None:
    over = {"unix": (f"unix:{served.unix}", ""), "tcp": (str(served.tcp), TOKEN)}
    target, token = over[transport]
    program = shutil.copy(PROGRAM / "client.js", packages)
    done = await trio.run_process(
        ["timeout", str(CALL_S), "node", program, str(ROOT / "protos"), target],
        capture_stdout=True,
        env={**os.environ, TOKEN_VARIABLE: token},
    )
    told = json.loads(done.stdout)
    assert told["stored"] == {"sha256": hashlib.sha256(b"onetwo").hexdigest(), "size": 6}
    assert told["phase"] == "PHASE_DEFINED"
    assert told["watched"] == ["event", "caught_up"]
    assert told["refused"]["code"] == "INVALID_ARGUMENT"
    (wrong,) = told["refused"]["details"]["google.rpc.BadRequest"]["fieldViolations"]
    assert wrong["field"] == "page_size"
