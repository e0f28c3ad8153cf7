"""`serve`: what is refused before, and at, the start of a daemon."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("address", ["0.0.0.0:7001", "192.168.1.2:7001", "[::]:7001", "host:1"])
def test_an_address_that_strangers_reach_is_refused(run: Run, address: str) -> None:
    result = run("serve", "--grpc", address)

    assert result.exit_code == 2
    assert "is not a loopback address: without TLS only 127.0.0.1" in result.stderr


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
