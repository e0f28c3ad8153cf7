"""Guests that bring an agent of their own: found at their port or by their console, and left alone.

Real guests; what they are made of is in tests/e2e/own_guest.py.
"""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.daemon_process import COMMAND_S, Daemon, running
from tests.e2e.forwarded_ports import PORTS
from tests.e2e.own_guest import UP, write_manifest

pytestmark = pytest.mark.guest

BY_LINE = f'ready = {{console = "{UP}"}}\n'
"""Of an agent that has no port, so that its guest needs no network."""


@pytest.fixture
def daemon(stopped_daemon: Daemon) -> Iterator[Daemon]:
    with running(stopped_daemon, *PORTS) as daemon:
        yield daemon


def types(daemon: Daemon, vm_id: str) -> list[str]:
    return [event["type"] for event in daemon.events("--vm", vm_id)]


def port_of_agent(daemon: Daemon, vm_id: str) -> int:
    (forward,) = daemon.json("show", vm_id)["forwards"]
    assert forward["guest_port"] == 7002
    port: int = forward["host_port"]
    return port


def say_to_agent(port: int, word: bytes) -> bytes:
    """Return the answer: none where it powers off, or has yet to listen for its next visitor."""
    with (
        suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), COMMAND_S) as agent,
    ):
        agent.sendall(word + b"\n")
        return agent.recv(100)
    return b""


def greeting_of_agent(port: int) -> bytes:
    give_up = time.monotonic() + COMMAND_S
    while time.monotonic() < give_up:
        if said := say_to_agent(port, b"hi"):
            return said
    raise AssertionError("the agent does not answer")


def power_off(daemon: Daemon, vm_id: str, port: int) -> None:
    while daemon.json("show", vm_id)["phase"] == "running":
        say_to_agent(port, b"off")


def test_one_whose_port_answers_is_ready_and_its_power_off_is_a_good_end(
    daemon: Daemon, own_layer: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "own.toml", own_layer, "listen")
    vm_id = daemon.submit(manifest)["vm_id"]
    daemon.wait_for(vm_id, "vm.guest-started.v1")
    daemon.end(signal.SIGKILL)
    daemon.start(*PORTS)
    ready = daemon.wait_for(vm_id, "vm.guest-ready.v1")
    assert ready["data"]["by"] == "port"
    assert '"name":"own"' in daemon.run("console", vm_id)  # from manifest.json of its inputs
    port = port_of_agent(daemon, vm_id)
    assert greeting_of_agent(port) == b"hello\n"
    power_off(daemon, vm_id, port)
    ended = daemon.wait_for(vm_id, "vm.stopped.v1")
    assert ended["data"]["outcome"] == "guest-powered-off"
    assert ended["data"]["detail"].startswith("the guest powered off; no result: ")
    assert daemon.json("show", vm_id)["phase"] == "stopped"


def test_one_that_says_the_line_is_ready_though_its_daemon_was_killed_meanwhile(
    daemon: Daemon, own_layer: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "own.toml", own_layer, "say", BY_LINE)
    vm_id = daemon.submit(manifest)["vm_id"]
    daemon.wait_for(vm_id, "vm.guest-started.v1")
    daemon.end(signal.SIGKILL)
    daemon.start(*PORTS)
    ready = daemon.wait_for(vm_id, "vm.guest-ready.v1")
    assert ready["data"]["by"] == "console"
    assert types(daemon, vm_id).count("vm.guest-ready.v1") == 1
    daemon.run("kill", vm_id)


def test_one_that_does_not_listen_is_not_ready_though_qemu_takes_its_connections(
    daemon: Daemon, own_layer: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "own.toml", own_layer, "nothing", deadline="30s")
    vm = daemon.submit(manifest, "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "launch-deadline")
    assert vm["detail"] == "the guest was not ready by the launch deadline"
    assert "vm.guest-ready.v1" not in types(daemon, vm["vm_id"])
