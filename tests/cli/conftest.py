"""The peer, and two ways to run the command line against it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, TypeVar

import pytest
from click.testing import CliRunner, Result

from supervisor.cli.program import cli
from tests.cli.peer import Peer, serving

REPOSITORY = Path(__file__).parents[2]

IMPORTED = os.pathsep.join(str(REPOSITORY / each) for each in ("", "protos", "tools/guest"))
"""Where a process of its own finds the packages."""
PORTS = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0")
"""For `serve`: whichever are free."""
WIDE = 200
"""Columns in which no line is folded."""
HANG_S = 60
"""A process of ours ends long before, however busy the machine is."""
TERMINAL_BYTES = 65536

T = TypeVar("T")


class Run(Protocol):
    def __call__(self, *arguments: str, columns: int = WIDE) -> Result: ...


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A directory whose sockets have short paths."""
    with tempfile.TemporaryDirectory(prefix="cv-") as directory:
        yield Path(directory)


@pytest.fixture
def peer(state_dir: Path) -> Iterator[Peer]:
    with serving(state_dir) as peer:
        yield peer


@pytest.fixture
def run(state_dir: Path) -> Run:
    """Run a command in this process against the daemon of ``state_dir``."""

    def run(*arguments: str, columns: int = WIDE) -> Result:
        environment = {"COLUMNS": str(columns), "TERM": "dumb"}
        return CliRunner().invoke(
            cli, ["--state-dir", str(state_dir), *arguments], env=environment, prog_name="cv"
        )

    return run


def answer(run: Run, *arguments: str) -> Any:
    """What a command says with `--json`."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def spawn(
    *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    """Start the program as a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.Popen(
        [sys.executable, "-m", "supervisor", *arguments],
        stdout=stdout,
        stderr=stderr,
        text=True,
        env={**inherited, "PYTHONPATH": IMPORTED, "TERM": "xterm"},
    )


def shown(terminal: int) -> str:
    """What a terminal shows until nobody writes to it any more: it has it in pieces."""
    seen = b""
    with suppress(OSError):  # EIO: the other side is closed, and all of it was read
        while piece := os.read(terminal, TERMINAL_BYTES):
            seen += piece
    os.close(terminal)
    return seen.decode()


def answered(tab: Callable[[], list[T]]) -> list[T]:
    """What is offered at a Tab; whoever waited in vain for a busy daemon types it once more."""
    until = monotonic() + HANG_S
    while not any(offered := tab()) and monotonic() < until:
        pass
    return offered


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """A manifest with an algorithm and a dataset beside it."""
    (tmp_path / "iris.py").write_text("#!/usr/bin/env python3\nprint(1)\n")
    (tmp_path / "iris.csv").write_text("1,2\n")
    file = tmp_path / "iris.toml"
    file.write_text(
        'name = "iris"\nalgorithm = {path = "iris.py"}\n'
        'datasets = [{name = "iris.csv", path = "iris.csv"}]\nlabels = {team = "blue"}\n'
    )
    return file
