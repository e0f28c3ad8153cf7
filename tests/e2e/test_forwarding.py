"""Host ports that lead into guests: bound by QEMU, held over the daemon's death, never twice."""

import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, running
from tests.e2e.forwarded_ports import LOW, PORTS

pytestmark = pytest.mark.guest

FORWARD = '[network]\nmode = "{mode}"\n[[network.forwards]]\nguest_port = 8080\n'


def sleeper(manifests: Manifests, more: str = "", mode: str = "restricted") -> Path:
    return manifests.shell("exec sleep 1000", FORWARD.format(mode=mode) + more)


def is_listened_on(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def port_of(daemon: Daemon, vm_id: str) -> int:
    (forward,) = daemon.json("show", vm_id)["forwards"]
    assert (forward["guest_port"], forward["protocol"]) == (8080, "tcp")
    port: int = forward["host_port"]
    return port


@pytest.mark.fault("port-given-twice")
def test_two_guests_have_ports_of_their_own_also_after_the_daemon_was_killed(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with running(stopped_daemon, *PORTS) as daemon:
        for vm_id in ("one", "two"):
            daemon.submit(sleeper(manifests), "--vm-id", vm_id)
            daemon.wait_for(vm_id, "vm.guest-started.v1")
        held = {vm_id: port_of(daemon, vm_id) for vm_id in ("one", "two")}
        assert len(set(held.values())) == 2
        assert all(map(is_listened_on, held.values()))
        assert f"127.0.0.1:{held['one']} -> 8080/tcp" in daemon.run("show", "one")

        daemon.end(signal.SIGKILL)
        assert all(map(is_listened_on, held.values()))
        daemon.start(*PORTS)
        wish = f"host_port = {held['one']}\n"
        thief = daemon.submit(sleeper(manifests, wish), "--wait", codes=(1,))
        assert thief["outcome"] == "qemu-failed-to-start"
        assert thief["detail"] == f"host port {held['one']} is held by another VM"
        daemon.submit(sleeper(manifests), "--vm-id", "three")
        daemon.wait_for("three", "vm.guest-started.v1")
        assert port_of(daemon, "three") not in held.values()
        assert {vm_id: port_of(daemon, vm_id) for vm_id in held} == held

        daemon.run("kill", "one")
        daemon.wait_for("one", "vm.stopped.v1")
        assert not is_listened_on(held["one"])
        assert daemon.json("show", "one")["forwards"] == []
        daemon.submit(sleeper(manifests, wish), "--vm-id", "heir")
        daemon.wait_for("heir", "vm.guest-started.v1")
        assert port_of(daemon, "heir") == held["one"]


@pytest.mark.fault("port-given-twice")
def test_the_port_of_a_stranger_is_passed_over_or_named(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with (
        socket.create_server(("127.0.0.1", LOW + 10)),
        running(stopped_daemon, "--forward-ports", f"{LOW + 10}-{LOW + 11}") as daemon,
    ):
        daemon.submit(sleeper(manifests), "--vm-id", "lucky")
        daemon.wait_for("lucky", "vm.guest-started.v1")
        assert port_of(daemon, "lucky") == LOW + 11
        wish = f"host_port = {LOW + 10}\n"
        unlucky = daemon.submit(sleeper(manifests, wish), "--wait", codes=(1,))
        assert unlucky["detail"] == f"another program listens on host port {LOW + 10}"
        late = daemon.submit(sleeper(manifests), "--wait", codes=(1,))
        assert late["detail"] == f"none of the host ports {LOW + 10}-{LOW + 11} is free"


def test_an_unrestricted_network_needs_the_operators_word(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    manifest = sleeper(manifests, mode="user")
    with running(stopped_daemon, *PORTS) as daemon:
        refusal = daemon.run("submit", manifest, "--json", codes=(4,))
        assert "serve --allow-unrestricted-network" in refusal
        daemon.end()
        daemon.start(*PORTS, "--allow-unrestricted-network")
        daemon.submit(manifest, "--vm-id", "free")
        daemon.wait_for("free", "vm.guest-started.v1")
        assert is_listened_on(port_of(daemon, "free"))
