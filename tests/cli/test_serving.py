"""`serve`: what is refused before, and at, the start of a daemon; and the daemon itself."""

import errno
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.serving import last_word
from tests.cli.conftest import HANG_S, PORTS, Run, spawn


@pytest.mark.parametrize("address", ["0.0.0.0:7001", "192.168.1.2:7001", "[::]:7001", "host:1"])
def test_an_address_that_strangers_reach_is_refused(run: Run, address: str) -> None:
    result = run("serve", "--grpc", address)

    assert result.exit_code == 2
    assert "is not a loopback address: without TLS and tokens only 127.0.0.1" in result.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", ":1", "x:y"])
def test_an_address_without_a_host_or_a_port_is_refused(run: Run, address: str) -> None:
    result = run("serve", "--ws", address)

    assert result.exit_code == 2
    assert "it takes HOST:PORT with a port of 0 to 65535" in result.stderr


def test_a_state_directory_that_cannot_be_used_is_told(run: Run, state_dir: Path) -> None:
    (state_dir / "file").touch()
    result = run("serve", "--state-dir", str(state_dir / "file" / "state"))

    assert result.exit_code == 7
    assert str(state_dir / "file" / "state") in result.stderr
    assert "Traceback" not in result.stderr


def test_a_state_directory_whose_path_is_too_long_for_sockets_is_told(
    run: Run, state_dir: Path
) -> None:
    result = run("serve", "--state-dir", str(state_dir / ("x" * 100)))

    assert result.exit_code == 7
    assert "choose a shorter --state-dir" in result.stderr


def test_a_damaged_file_of_tokens_is_told_before_anything_is_made(
    run: Run, state_dir: Path
) -> None:
    tokens = state_dir / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("{")
    result = run("serve", "--state-dir", str(state_dir / "new"), "--tokens", str(tokens), *PORTS)

    assert result.exit_code == 7
    assert result.stderr.startswith(f"Error: {tokens} is no file of tokens: ")
    assert len(result.stderr.splitlines()) == 1
    assert not (state_dir / "new").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_what_to_do(number: int) -> None:
    full = OSError(number, os.strerror(number))
    why = os.strerror(number).lower()
    assert last_word(full, Path("/s")) == f"/s: {why}; make room on that disk, and start again"
    assert last_word(OSError(number, "full", "/t/node_id"), Path("/s")).startswith("/t/node_id: ")


@pytest.fixture
def daemon(state_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    with spawn("serve", "--json", "--state-dir", str(state_dir), *PORTS) as process:
        yield process
        process.terminate()
        process.communicate(timeout=HANG_S)


@pytest.fixture
def ready(daemon: "subprocess.Popen[str]") -> Any:
    """What a real daemon says once it serves."""
    assert daemon.stdout is not None
    return json.loads(daemon.stdout.readline())


def address(endpoint: dict[str, Any]) -> str:
    return f"{endpoint['host']}:{endpoint['port']}"


@pytest.mark.qemu
def test_a_daemon_answers_on_its_socket_and_over_tcp(run: Run, ready: Any) -> None:
    local = run("list", "--json")
    remote = run("list", "--json", "--connect", address(ready["grpc"]))

    assert (local.exit_code, local.stderr) == (0, "")
    assert json.loads(local.stdout) == json.loads(remote.stdout) == {"vms": []}


@pytest.mark.qemu
def test_a_wrong_token_is_refused(run: Run, ready: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    where = ("--connect", address(ready["grpc"]), "--token-file", str(tmp_path / "token"))
    result = run("list", *where)

    assert result.exit_code == 4
    assert "token" in result.stderr


@pytest.mark.qemu
def test_a_second_daemon_on_a_state_directory_is_refused(state_dir: Path, ready: Any) -> None:
    with spawn("serve", "--state-dir", str(state_dir), *PORTS) as second:
        _, stderr = second.communicate(timeout=HANG_S)

    assert second.returncode == 7
    assert "stop it first" in stderr
    assert "Traceback" not in stderr


@pytest.mark.qemu
def test_a_port_that_is_taken_is_told(state_dir: Path, ready: Any) -> None:
    taken = ("--grpc", address(ready["grpc"]), "--ws", "127.0.0.1:0")
    with spawn("serve", "--state-dir", str(state_dir / "other"), *taken) as second:
        _, stderr = second.communicate(timeout=HANG_S)

    assert second.returncode == 7
    assert address(ready["grpc"]).rpartition(":")[2] in stderr
    assert "Traceback" not in stderr


@pytest.mark.qemu
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_daemon_in_good_order(
    run: Run, daemon: "subprocess.Popen[str]", ready: Any, number: signal.Signals
) -> None:
    assert run("list").exit_code == 0
    daemon.send_signal(number)
    _, stderr = daemon.communicate(timeout=HANG_S)

    assert daemon.returncode == 0
    assert stderr.endswith("the daemon has stopped\n")
    types = [json.loads(line)["type"] for line in run("log", "cat", "--json").stdout.splitlines()]
    assert types[-1] == "host.daemon-stopped.v1"


def another_loopback() -> str:
    """An address that is no default: of IPv6, where this host has it, as containers may not."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return "127.0.0.2"
    return "::1"


@pytest.mark.qemu
def test_a_daemon_that_its_file_configures_tells_of_itself_as_it_says(
    state_dir: Path, tmp_path: Path
) -> None:
    file, host = tmp_path / "chronovisor.toml", another_loopback()
    http = f"[{host}]:0" if ":" in host else f"{host}:0"
    file.write_text(
        f'state_dir = "{state_dir}"\nlog.format = "json"\n[listen]\n'
        f'grpc = "127.0.0.1:0"\nhttp = "{http}"\nwebsocket = "127.0.0.1:0"\n'
    )
    with spawn("serve", "--json", "--config", str(file)) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.terminate()
        _, stderr = process.communicate(timeout=HANG_S)

    told = [json.loads(line)["message"] for line in stderr.splitlines()]
    assert (ready["state_dir"], ready["http"]["host"]) == (str(state_dir), host)
    assert told[-2:] == ["SIGTERM: leaving", "the daemon has stopped"]


@pytest.mark.qemu
def test_the_daemon_and_the_disk_tell_the_same_events(run: Run, ready: Any) -> None:
    streamed = [json.loads(line) for line in run("events", "--json").stdout.splitlines()]
    read = [json.loads(line) for line in run("log", "cat", "--json").stdout.splitlines()]

    assert [event.pop("log_id") for event in streamed] == [ready["log_id"]] * len(read)
    assert all(event.pop("node_id") for event in streamed)
    assert streamed == read
