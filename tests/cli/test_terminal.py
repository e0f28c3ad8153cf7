"""A terminal is given back as it was, at whatever moment SIGTERM comes, and how often."""

import asyncio
import base64
import hashlib
import os
import pty
import re
import signal
import socket
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import Popen
from threading import Event, Thread
from typing import Any

import pytest
from chronovisor_api import v1

from supervisor.cli.exits import ExitCode
from supervisor.cli.terminal import terminations_held, terminations_raised
from tests.cli.conftest import HANG_S, IMPORTED, TERMINAL_BYTES
from tests.cli.peer import Peer
from tests.cli.test_top import ENTERED, LEFT

ESCAPE = b"\x1d"
TRIALS = 5
"""Of a race that the signal wins half the time."""
LEAVING_S = 40
"""To end, however slow the machine is; a client of WebSocket would wait a minute for an answer."""
KEY_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of the answer to a handshake (RFC 6455, section 1.3)."""


def test_a_termination_waits_until_it_may_end_the_command() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminations_held() as held:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended, terminations_raised(held):
            pytest.fail("it goes on")
    assert ended.value.code == ExitCode.TERMINATED
    assert signal.getsignal(signal.SIGTERM) == before


def test_only_the_first_of_several_terminations_is_raised() -> None:
    with terminations_held() as held:
        with pytest.raises(SystemExit), terminations_raised(held):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    with terminations_held() as held:
        with pytest.raises(SystemExit), terminations_raised(held):
            _terminate_twice()
        assert len(held) == 2


def _terminate_twice() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGTERM)


class Shown:
    """A command on a terminal of its own."""

    def __init__(self, process: "Popen[bytes]", terminal: int, before: list[Any]) -> None:
        self.process = process
        self.terminal = terminal
        self._before = before
        self.seen = b""

    def until(self, words: bytes) -> None:
        while words not in self.seen:
            self._look()

    def rest(self) -> None:
        with suppress(OSError):  # which is how a terminal ends that nobody has open
            while self._look():
                pass

    def _look(self) -> bytes:
        data = os.read(self.terminal, TERMINAL_BYTES)
        self.seen += data
        return data

    @property
    def is_as_it_was(self) -> bool:
        return termios.tcgetattr(self.terminal) == self._before


@contextmanager
def shown(*command: str) -> Iterator[Shown]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    before = termios.tcgetattr(ours)
    around = {**os.environ, "PYTHONPATH": IMPORTED, "TERM": "xterm"}
    program = [sys.executable, "-m", "supervisor", *command]
    with Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=around) as process:
        os.close(theirs)
        try:
            yield Shown(process, ours, before)
        finally:
            process.kill()
            os.close(ours)


@pytest.mark.timeout(HANG_S * TRIALS)
@pytest.mark.usefixtures("peer")
def test_a_sigterm_in_the_middle_of_the_change_leaves_no_trace(state_dir: Path) -> None:
    for _ in range(TRIALS):
        with shown("--state-dir", str(state_dir), "top") as top:
            top.until(ENTERED)
            top.process.terminate()
            assert top.process.wait(HANG_S) == ExitCode.TERMINATED
            assert top.is_as_it_was
            top.rest()
            assert LEFT in top.seen


@pytest.mark.timeout(HANG_S * 2)
def test_a_sigterm_while_a_daemon_says_nothing_ends_it_in_good_order(
    peer: Peer, state_dir: Path
) -> None:
    asked = Event()
    with shown("--state-dir", str(state_dir), "top", "--every", "200ms") as top:
        top.until(b"no VM")
        peer.supervisor.list_vms = partial(_stall, asked)  # type: ignore[method-assign]
        assert asked.wait(HANG_S)
        top.process.terminate()
        top.rest()
        assert top.process.wait(HANG_S) == ExitCode.TERMINATED
        assert top.is_as_it_was
        assert b"Traceback" not in top.seen


async def _stall(asked: Event, _message: v1.ListVmsRequest) -> v1.ListVmsResponse:
    asked.set()
    await asyncio.Event().wait()
    return v1.ListVmsResponse()


@contextmanager
def console_of(state_dir: Path, says: bytes) -> Iterator[Shown]:
    """A console on a terminal, of a daemon that says this much and then nothing, not even a bye."""
    (state_dir / "token").write_text("a-token")
    with socket.create_server(("127.0.0.1", 0)) as server:
        daemon = Thread(target=_say, args=(server, says), daemon=True)
        daemon.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        options = ("--state-dir", str(state_dir), "--websocket", address)
        with shown("console", "iris", "--attach", *options) as console:
            console.until(says[:1])
            yield console
            daemon.join(HANG_S)


def _say(server: socket.socket, says: bytes) -> None:
    client, _ = server.accept()
    with client, suppress(ConnectionError):
        asked = re.search(rb"(?i)sec-websocket-key: (\S+)", client.recv(TERMINAL_BYTES))
        assert asked
        agreed = base64.b64encode(hashlib.sha1(asked[1] + KEY_SALT).digest())
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + agreed + b"\r\n\r\n"
        )
        client.sendall(b"\x82\x7e" + len(says).to_bytes(2) + says)
        while client.recv(TERMINAL_BYTES):
            pass


@pytest.mark.timeout(HANG_S * 2)
def test_who_leaves_a_console_does_not_wait_for_a_silent_daemon(state_dir: Path) -> None:
    with console_of(state_dir, b"~" * 200) as console:
        os.write(console.terminal, ESCAPE)
        assert console.process.wait(LEAVING_S) == 0
        assert console.is_as_it_was


@pytest.mark.timeout(HANG_S * 2)
def test_a_sigterm_ends_a_console_that_a_silent_daemon_shows(state_dir: Path) -> None:
    with console_of(state_dir, b"~" * 200) as console:
        console.process.terminate()
        assert console.process.wait(LEAVING_S) == ExitCode.TERMINATED
        assert console.is_as_it_was


@pytest.mark.timeout(HANG_S * 2)
def test_a_sigterm_ends_a_console_on_a_terminal_that_takes_no_more(state_dir: Path) -> None:
    with console_of(state_dir, b"~" * (TERMINAL_BYTES - 1)) as console:
        console.process.terminate()
        assert console.process.wait(LEAVING_S) == ExitCode.TERMINATED
        assert console.is_as_it_was
