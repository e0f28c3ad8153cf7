"""`serve --listen`: one more socket, for the same users, and never somebody else's."""

import json
import signal
import socket
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import HANG_S, PORTS, Run, spawn


@pytest.mark.qemu
def test_a_daemon_answers_on_the_socket_that_was_asked_for(run: Run, state_dir: Path) -> None:
    path = state_dir / "other.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    listen = ("--state-dir", str(state_dir / "state"), "--listen", f"unix:{path}")
    with spawn("serve", "--json", *listen, *PORTS) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        answers = [
            run("list", "--json", "--connect", target)
            for target in (f"unix:{path}", f"unix:{ready['unix']}", ready["listen"])
        ]
        mode = stat.S_IMODE(path.stat().st_mode)
        second = run("serve", "--state-dir", str(state_dir / "two"), *listen[2:], *PORTS)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_S)
    assert [json.loads(answer.stdout) for answer in answers] == [{"vms": []}] * 3
    assert mode == 0o600
    assert second.exit_code == 7
    assert f"another daemon listens on {path}: stop it first" in second.stderr
    assert not (state_dir / "two").exists()
    assert not path.exists()


@pytest.mark.parametrize("written", ["127.0.0.1:7001", "other.sock", "unix:", "unix:\n"])
def test_what_is_no_socket_is_refused(run: Run, written: str) -> None:
    result = run("serve", "--listen", written)
    assert result.exit_code == 2
    assert "it takes unix:PATH; an address of TCP is given with --grpc" in result.stderr


def test_a_path_that_is_too_long_is_told(run: Run, state_dir: Path) -> None:
    path = state_dir / ("x" * 100)
    where = ("--state-dir", str(state_dir / "state"), "--listen", f"unix:{path}")
    result = run("serve", *where, *PORTS)
    assert result.exit_code == 7
    assert "is too long for a socket: it has " in result.stderr
