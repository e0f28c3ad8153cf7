"""Guests that bring an agent of their own: found at their port or by their console, and left alone.

Real guests; what they are made of is in tests/e2e/own_guest.py.
"""

import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.daemon_process import COMMAND_S, Daemon
from tests.e2e.own_guest import UP, write_manifest

pytestmark = pytest.mark.guest

BY_LINE = f'ready = {{console = "{UP}"}}\n'
"""Of an agent that has no port, so that its guest needs no network."""


def types(daemon: Daemon, vm_id: str) -> list[str]:
    return [event["type"] for event in daemon.events("--vm", vm_id)]


def say_to_agent(daemon: Daemon, vm_id: str, word: bytes) -> bytes:
    (forward,) = daemon.json("show", vm_id)["forwards"]
    assert forward["guest_port"] == 7002
    with socket.create_connection(("127.0.0.1", forward["host_port"]), COMMAND_S) as agent:
        agent.sendall(word + b"\n")
        return agent.recv(100)


def test_one_whose_port_answers_is_ready_and_its_power_off_is_a_good_end(
    daemon: Daemon, own_layer: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "own.toml", own_layer, "listen")
    vm_id = daemon.submit(manifest)["vm_id"]
    daemon.wait_for(vm_id, "vm.guest-started.v1")
    daemon.end(signal.SIGKILL)
    daemon.start()
    ready = daemon.wait_for(vm_id, "vm.guest-ready.v1")
    assert ready["data"]["by"] == "port"
    assert '"name":"own"' in daemon.run("console", vm_id)  # from manifest.json of its inputs
    assert say_to_agent(daemon, vm_id, b"hi") == b"hello\n"
    with suppress(ConnectionError):  # it takes the connection with it
        say_to_agent(daemon, vm_id, b"off")
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
    daemon.start()
    ready = daemon.wait_for(vm_id, "vm.guest-ready.v1")
    assert ready["data"]["by"] == "console"
    assert types(daemon, vm_id).count("vm.guest-ready.v1") == 1
    daemon.run("kill", vm_id)


def test_one_that_does_not_listen_is_not_ready_though_qemu_takes_its_connections(
    daemon: Daemon, own_layer: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "own.toml", own_layer, "nothing", deadline="6s")
    vm = daemon.submit(manifest, "--wait", codes=(1,))
    assert (vm["phase"], vm["outcome"]) == ("failed", "launch-deadline")
    assert vm["detail"] == "the guest was not ready by the launch deadline"
    assert "vm.guest-ready.v1" not in types(daemon, vm["vm_id"])
