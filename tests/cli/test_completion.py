"""Completion: what a shell is told at a Tab, and that real shells understand the scripts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from chronovisor_api import v1

from tests.cli.conftest import HANG_S, IMPORTED, Run, answered
from tests.cli.peer import Peer

Completer = Callable[..., list[str]]

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


@pytest.fixture(name="bash")
def _bash(environment: dict[str, str], run: Run, tmp_path: Path) -> Completer:
    """What bash puts in the place of the last word, after our script."""
    script, driver = tmp_path / "script", tmp_path / "driver"
    script.write_text(run("completion", "bash").stdout)
    driver.write_text(COMPLETE_IN_BASH)
    return lambda *words: said(["bash", str(driver), str(script), *words], environment)


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
def test_bash_completes_words(words: list[str], expected: list[str], bash: Completer) -> None:
    assert bash(*words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ("--state-dir", "{}", "show", "iris"),
        ("show", "--state-dir", "{}", "iris"),
        ("--state-dir", "/absent", "console", "--state-dir", "{}", "iris"),
        ("--connect", "unix:{}/grpc.sock", "sev", "approve", "iris"),
        ("--state-dir", "{}", "events", "--follow", "--vm", "iris"),
    ],
)
def test_bash_completes_the_vms_that_the_daemon_has(
    words: tuple[str, ...], bash: Completer, peer: Peer, state_dir: Path
) -> None:
    for vm_id in ("iris-1", "hello", "iris-2", "iris-3"):
        peer.supervisor.vms[vm_id] = v1.Vm(vm_id=vm_id, name="flowers", phase=v1.Phase.RUNNING)
    asked = [word.format(state_dir) for word in words]
    assert answered(lambda: bash("chronovisor", *asked)) == ["iris-1", "iris-2", "iris-3"]


def test_without_a_daemon_no_vm_is_offered_and_nothing_is_said(
    bash: Completer, state_dir: Path
) -> None:
    assert bash("chronovisor", "--state-dir", str(state_dir), "show", "i") == [""]


def test_a_shell_that_shows_help_is_told_name_and_phase_and_no_control_character(
    environment: dict[str, str], peer: Peer, state_dir: Path
) -> None:
    peer.supervisor.vms["iris"] = v1.Vm(vm_id="iris", name="a\x1b[2J\nb", phase=v1.Phase.RUNNING)
    asked = {
        "_CHRONOVISOR_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"chronovisor --state-dir {state_dir} stop ",
        "COMP_CWORD": "4",
    }
    told = answered(lambda: said(["chronovisor"], environment | asked))
    assert told == [
        "plain",
        "iris",
        "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b, running",
    ]
