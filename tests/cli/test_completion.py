"""Completion: what a shell is told at a Tab, and that real shells understand the scripts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import IMPORTED, Run

SHELLS = ("bash", "zsh", "fish")
CHECKS = {"bash": "-n", "zsh": "-n", "fish": "--no-execute"}
"""The option with which a shell reads a script and runs nothing."""
COMPLETE_IN_BASH = """\
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_chronovisor_completion chronovisor
printf '%s\\n' "${COMPREPLY[@]}"
"""
HANG_S = 60


@pytest.fixture(name="environment")
def _environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which shells find the program by its name."""
    program = tmp_path / "bin" / "chronovisor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m supervisor "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": IMPORTED}


def said(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_asks_is_told_the_commands(shell: str, environment: dict[str, str]) -> None:
    asked = {
        "_CHRONOVISOR_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "chronovisor st",
        "COMP_CWORD": "st" if shell == "fish" else "1",
    }
    answers = "\n".join(said(["chronovisor"], environment | asked))
    assert "start" in answers
    assert "stop" in answers
    assert "submit" not in answers


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_one_of_its_shell(shell: str, run: Run, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(run("completion", shell).stdout)
    said([program, CHECKS[shell], str(script)], dict(os.environ))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["chronovisor", "sub"], ["submit"]),
        (["chronovisor", "doc"], ["doctor"]),
        (["chronovisor", "top", "--ev"], ["--every"]),
        (["chronovisor", "log", "che"], ["check-proof", "checkpoint"]),
        (["chronovisor", "events", "--fol"], ["--follow"]),
        (["chronovisor", "events", "--type", "guest-sta"], ["guest-started"]),
        (["chronovisor", "list", "--phase", "run"], ["running"]),
    ],
)
def test_bash_completes_words(
    words: list[str], expected: list[str], environment: dict[str, str], run: Run, tmp_path: Path
) -> None:
    script, driver = tmp_path / "script", tmp_path / "driver"
    script.write_text(run("completion", "bash").stdout)
    driver.write_text(COMPLETE_IN_BASH)
    completed = said(["bash", str(driver), str(script), *words], environment)
    assert completed == expected
