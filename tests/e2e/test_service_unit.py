"""The daemon as a service: a small init stands in for systemd, and hears what that would hear."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, qemu_pids
from tests.e2e.test_while_away import until

HANG_S = 120
WATCHDOG_S = 2
MESSAGE_BYTES = 4096
SO_FAR, ENOUGH = b"so far", b"enough"
RUN_FOR_EVER = "echo started; while :; do sleep 1000; done"


class Init:
    """Listens as systemd does, for one unit: it takes every message at once."""

    def __init__(self, directory: Path) -> None:
        self._address = directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._address))
        self._heard: Queue[list[str]] = Queue()
        self._listener = Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        while (message := self._socket.recv(MESSAGE_BYTES)) != ENOUGH:
            self._heard.put(message.decode().split("\n"))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "NOTIFY_SOCKET": str(self._address),
            "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000),
        }

    def until(self, assignment: str) -> list[list[str]]:
        """All messages up to the one with this assignment."""
        heard = [self._heard.get(timeout=HANG_S)]
        while assignment not in heard[-1]:
            heard.append(self._heard.get(timeout=HANG_S))
        return heard

    def hears_nothing_for(self, seconds: float) -> bool:
        """Whether a whole time passes without a word; what was said before does not count."""
        self._say(SO_FAR)
        self.until(SO_FAR.decode())
        try:
            self._heard.get(timeout=seconds)
        except Empty:
            return True
        return False

    def close(self) -> None:
        self._say(ENOUGH)
        self._listener.join()
        self._socket.close()

    def _say(self, word: bytes) -> None:
        """To itself, behind what it has yet to hear."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(word, str(self._address))


@pytest.fixture
def init() -> Iterator[Init]:
    with tempfile.TemporaryDirectory(prefix="cv-") as directory:
        init = Init(Path(directory))
        yield init
        init.close()


@pytest.fixture
def unit(stopped_daemon: Daemon, init: Init) -> Daemon:
    """A daemon that was not started yet, and whose manager is the init."""
    stopped_daemon.more_environment = init.environment
    return stopped_daemon


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def recoveries(daemon: Daemon) -> int:
    return len(daemon.events("--type", "vms-recovered"))


@pytest.mark.guest
def test_a_stop_leaves_the_vms_and_the_next_start_is_ready_when_it_has_them_again(
    unit: Daemon, init: Init, manifests: Manifests
) -> None:
    unit.start()
    init.until("READY=1")
    vm_id = unit.submit(manifests.shell(RUN_FOR_EVER))["vm_id"]
    unit.wait_for(vm_id, "vm.computation-started.v1")
    (qemu,) = qemu_pids(unit.state_dir)

    assert unit.end() == 0
    assert ["STOPPING=1"] in init.until("STOPPING=1")
    assert qemu_pids(unit.state_dir) == [qemu]

    os.kill(qemu, signal.SIGSTOP)
    until(lambda: is_stopped(qemu))
    unit.start()
    before = init.until("STATUS=recovering 0 of 1")
    os.kill(qemu, signal.SIGCONT)
    before += init.until("READY=1")[:-1]
    assert recoveries(unit) == 1
    assert [message for message in before if "READY=1" in message] == []
    unit.wait_for(vm_id, "vm.adopted.v1")
    assert unit.json("show", vm_id)["phase"] == "running"
    assert qemu_pids(unit.state_dir) == [qemu]
    unit.run("kill", vm_id)


def test_the_watchdog_hears_of_the_event_loop_and_of_nothing_when_it_stands(
    unit: Daemon, init: Init
) -> None:
    unit.start()
    init.until("READY=1")
    for _ in range(3):
        init.until("WATCHDOG=1")

    os.kill(unit.pid, signal.SIGSTOP)
    until(lambda: is_stopped(unit.pid))
    assert init.hears_nothing_for(WATCHDOG_S)

    os.kill(unit.pid, signal.SIGCONT)
    init.until("WATCHDOG=1")
    assert unit.end() == 0


def test_a_unit_that_is_started_twice_is_told_in_one_sentence(unit: Daemon, init: Init) -> None:
    unit.start()
    init.until("READY=1")
    unit.more_environment = {}
    code, said = unit.serve_and_fail()
    (last,) = said.splitlines()[-1:]
    assert code == 7
    assert "another daemon listens on" in last
    assert "stop it first" in last
    assert unit.json("host")["daemon"]["pid"] == unit.pid
