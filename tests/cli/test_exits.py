"""How commands end: every code of the table, and never a traceback."""

import json
import os
import signal
from pathlib import Path

import click
import pytest
from grpclib import Status

from supervisor.cli.exits import MEANINGS, OF_STATUS, ExitCode
from supervisor.cli.program import cli
from tests.cli.conftest import HANG_S, Run, spawn
from tests.cli.peer import Peer


def test_every_status_of_grpc_has_an_exit_code() -> None:
    assert set(OF_STATUS) == set(Status) - {Status.OK}


def test_every_exit_code_is_explained_in_help_and_guide(run: Run) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    help_text = run("--help").stdout

    for code in ExitCode:
        assert f"{code.value:>3}  {MEANINGS[code]}" in help_text
        assert f"| {code.value} | {MEANINGS[code]} |" in guide


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.INVALID_ARGUMENT, 2),
        (Status.UNAVAILABLE, 3),
        (Status.UNAUTHENTICATED, 4),
        (Status.FAILED_PRECONDITION, 4),
        (Status.RESOURCE_EXHAUSTED, 4),
        (Status.NOT_FOUND, 5),
        (Status.INTERNAL, 7),
    ],
)
def test_what_the_daemon_answers_decides_the_code(
    peer: Peer, run: Run, status: Status, code: int
) -> None:
    peer.supervisor.refusal = (status, "one sentence")
    result = run("show", "vm-1")

    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "Error: one sentence\n"


def test_no_daemon_is_told_with_the_way_to_start_one(run: Run, state_dir: Path) -> None:
    result = run("list")

    assert result.exit_code == 3
    assert result.stderr == (
        f"Error: no daemon answers at unix:{state_dir}/grpc.sock: "
        f"start one with `chronovisor serve --state-dir {state_dir}`\n"
    )


def test_a_daemon_that_hangs_up_is_told(run: Run, state_dir: Path) -> None:
    import socket
    import threading

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state_dir / "grpc.sock"))
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        result = run("list")
        thread.join()

    assert result.exit_code == 3
    assert "hung up before it said a word" in result.stderr


def test_a_malformed_address_exits_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token")
    result = run("list", "--connect", "nonsense", "--token-file", str(tmp_path / "token"))

    assert result.exit_code == 2
    assert "neither unix:PATH nor HOST:PORT" in result.stderr


def test_tcp_without_a_token_names_the_file(run: Run, state_dir: Path) -> None:
    result = run("list", "--connect", "127.0.0.1:1")

    assert result.exit_code == 4
    assert f"no token in {state_dir}/token (no such file or directory)" in result.stderr


def test_a_full_disk_is_told_with_what_to_do() -> None:
    with (
        Path("/dev/full").open("wb") as full,
        spawn("config", "show", "--json", stdout=full.fileno()) as told,
    ):
        _, said = told.communicate(timeout=HANG_S)
    assert said.strip() == "Error: no space left on device; make room on that disk, and try again"
    assert told.returncode == ExitCode.HOST_TROUBLE


def test_options_of_the_program_may_follow_the_command(run: Run) -> None:
    result = run("list", "--state-dir", "/elsewhere")

    assert "unix:/elsewhere/grpc.sock" in result.stderr


def test_ctrl_c_ends_a_follower_silently(peer: Peer) -> None:
    from chronovisor_api import v1

    peer.supervisor.add(v1.Manifest(name="iris"))
    with spawn("events", "--follow", "--json", "--state-dir", str(peer.state_dir)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(4):
            assert json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)

        assert process.wait(HANG_S) == 130
        assert process.stderr.read() == ""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        here = (*path, name)
        found += commands(command, here) if isinstance(command, click.Group) else [here]
    return found


@pytest.mark.parametrize("path", commands(cli), ids=" ".join)
def test_every_command_explains_itself_with_an_example(run: Run, path: tuple[str, ...]) -> None:
    result = run(*path, "--help")

    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"chronovisor {' '.join(path)}" in result.stdout


@pytest.mark.parametrize(
    "path", [path for path in commands(cli) if path != ("completion",)], ids=" ".join
)
def test_every_command_speaks_json(run: Run, path: tuple[str, ...]) -> None:
    assert "--json" in run(*path, "--help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_calls_the_program_back(run: Run, shell: str) -> None:
    result = run("completion", shell)

    assert "_CHRONOVISOR_COMPLETE" in result.stdout
    assert result.exit_code == 0


def test_the_environment_names_the_daemon(state_dir: Path) -> None:
    os.environ["CHRONOVISOR_STATE_DIR"] = str(state_dir / "by-environment")
    try:
        with spawn("list") as process:
            assert process.stderr is not None
            assert "by-environment/grpc.sock" in process.stderr.read()
            assert process.wait(HANG_S) == 3
    finally:
        del os.environ["CHRONOVISOR_STATE_DIR"]
