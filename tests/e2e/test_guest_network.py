"""A guest that brings its network up: who reaches whom, and who does not."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, running
from tests.e2e.forwarded_ports import PORTS
from tests.e2e.own_guest import MODULES, network_modules

pytestmark = pytest.mark.guest

SCRIPT = """\
for module in {modules}; do insmod "$CHRONOVISOR_DATASETS/$module.ko"; done
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
if nc -w {patience} 10.0.2.2 {port} -e true 2>/dev/null; then echo reached; else echo unreached; fi
while true; do echo "hello from the guest" | nc -l -p 8080; done
"""

ANSWER_S = 5
REACHED, UNREACHED = ("reached", 60), ("unreached", 5)
"""What a guest finds, and the seconds that it tries; one that may reach the host does so at once,
whatever else the machine does."""
TRIES = 100

NETWORK = '[network]\nmode = "{mode}"\n[[network.forwards]]\nguest_port = 8080\n'
DATASET = '[[datasets]]\nname = "{name}.ko"\npath = "{path}"\n'


@pytest.fixture(scope="module")
def modules(guest_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The datasets of a manifest: the kernel's modules for a network card."""
    unpacked = tmp_path_factory.mktemp("modules")
    for name, content in network_modules(guest_dir).items():
        (unpacked / f"{name}.ko").write_bytes(content)
    return "".join(DATASET.format(name=name, path=unpacked / f"{name}.ko") for name in MODULES)


@contextmanager
def service_of_the_host() -> Iterator[socket.socket]:
    """Something that listens on the host's loopback and is none of a guest's business."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def was_reached(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def read_through(port: int) -> bytes:
    """Return what the guest's port says; nothing while nobody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_S) as client:
            return client.recv(100)
    except (ConnectionError, TimeoutError):
        return b""


@pytest.mark.parametrize(
    ("mode", "told", "patience"), [("restricted", *UNREACHED), ("user", *REACHED)]
)
def test_a_guest_is_reached_through_its_forward_and_reaches_the_host_only_where_it_may(
    stopped_daemon: Daemon,
    manifests: Manifests,
    modules: str,
    mode: str,
    told: str,
    patience: int,
) -> None:
    with (
        service_of_the_host() as server,
        running(stopped_daemon, *PORTS, "--allow-unrestricted-network") as daemon,
    ):
        port = server.getsockname()[1]
        script = SCRIPT.format(modules=" ".join(MODULES), port=port, patience=patience)
        manifest = manifests.shell(script, modules + NETWORK.format(mode=mode))
        vm_id = daemon.submit(manifest)["vm_id"]
        daemon.wait_for(vm_id, "vm.computation-started.v1")
        (forward,) = daemon.json("show", vm_id)["forwards"]
        said = b""
        tries = iter(range(TRIES))
        while not said and next(tries, None) is not None:
            if daemon.run("console", vm_id, "--guest-log"):  # and it listens any moment now
                said = read_through(forward["host_port"])
        assert said == b"hello from the guest\n"
        assert daemon.run("console", vm_id, "--guest-log").splitlines() == [told]
        assert was_reached(server) is (told == "reached")
