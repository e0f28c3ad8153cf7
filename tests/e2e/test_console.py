"""The console of a real guest, both ways, as the command line shows it."""

import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from supervisor.cli.exits import ExitCode
from tests.e2e.daemon_process import COMMAND_S, Daemon
from tests.e2e.own_guest import UP, write_manifest

pytestmark = pytest.mark.guest

READY = f'ready = {{console = "{UP}"}}\n'
ESCAPE = b"\x1d"


class Terminal:
    """A person at the guest's console, without a terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._keys, self._screen = process.stdin, process.stdout
        self.process = process

    def type(self, keys: bytes) -> None:
        assert self._keys is not None
        self._keys.write(keys)
        self._keys.flush()

    def read_until(self, words: bytes) -> bytes:
        seen = b""
        while words not in seen:
            data = os.read(self._screen.fileno(), 4096)
            assert data, seen
            seen += data
        return seen

    def end(self) -> tuple[int, bytes]:
        rest = self._screen.read()
        return self.process.wait(COMMAND_S), rest


@contextmanager
def teletype() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: whoever sits before it, and the program in it."""
    ends = os.openpty()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


@contextmanager
def attached(daemon: Daemon, vm_id: str, stdin: int = subprocess.PIPE) -> Iterator[Terminal]:
    websocket = daemon.ready["websocket"]
    command = ["console", vm_id, "--attach", "--websocket", f"127.0.0.1:{websocket['port']}"]
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor", *command],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=daemon.environment,
    ) as process:
        watchdog = Timer(COMMAND_S, process.kill)
        watchdog.start()
        try:
            yield Terminal(process)
        finally:
            watchdog.cancel()
            process.kill()


def test_a_guest_is_typed_to_also_by_the_next_daemon_until_it_ends(
    daemon: Daemon, own_layer: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "own.toml", own_layer, "say", READY)
    vm_id = daemon.submit(manifest)["vm_id"]
    daemon.wait_for(vm_id, "vm.guest-ready.v1")
    with (
        teletype() as (keys, terminal),
        attached(daemon, vm_id) as one,
        attached(daemon, vm_id, terminal) as other,
    ):
        assert UP.encode() in one.read_until(UP.encode())
        one.type(b"hello\n")
        one.read_until(b"HELLO")
        other.read_until(b"HELLO")
        assert not echoes(terminal)
        os.write(keys, b"\x03and this is not Ctrl-C here" + ESCAPE)
        assert other.end()[0] == 0
        assert echoes(terminal)
        with attached(daemon, vm_id, terminal) as ended:
            ended.read_until(b"HELLO")
            assert not echoes(terminal)
            ended.process.terminate()
            assert ended.end()[0] == ExitCode.TERMINATED
        assert echoes(terminal)
        daemon.end(signal.SIGKILL)
        assert one.end()[0] == 3
    daemon.start()
    daemon.wait_for(vm_id, "vm.adopted.v1")
    with attached(daemon, vm_id) as again:
        again.read_until(b"HELLO")
        again.type(b"\nand on\n")
        again.read_until(b"AND ON")
        again.type(b"off\n")
        assert again.end()[0] == 0
    assert daemon.wait_for(vm_id, "vm.stopped.v1")["data"]["outcome"] == "guest-powered-off"
    assert "AND ON" in daemon.run("console", vm_id)


def test_who_attaches_to_nobody_is_told(daemon: Daemon) -> None:
    with attached(daemon, "nobody") as terminal:
        assert terminal.end() == (5, b"")
    refused = daemon.run("console", "iris", "--attach", "--follow", codes=(2,))
    assert "--attach goes without" in refused
