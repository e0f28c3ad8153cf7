"""One launch by hand: the yardstick.

It runs the argv that the daemon recorded and says what docs/agent-protocol.md asks of a host, one
word after another on blocking sockets. It shares no code with the daemon's host layer: a yardstick
must not grow with what it measures.
"""

import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from typing import Any

import msgspec

from chronovisor_bench.timeline import LaunchFailed, Moment, Timeline
from supervisor.vm import layout
from supervisor.vm.layout import InheritedFd

DEADLINE_S = 60.0
"""For each word of QEMU or the guest; a boot in software emulation takes seconds."""
LINE_BYTES = 65536
"""Neither QMP nor the agent has more to say in one line here."""
FIRST_SOURCE_FD = 100
"""Copies of the sockets lie above the fixed numbers that they are put on."""
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C"}
SOCKETS = {
    InheritedFd.QMP: layout.QMP_SOCKET,
    InheritedFd.MONITOR: layout.MONITOR_SOCKET,
    InheritedFd.AGENT: layout.AGENT_SOCKET,
    InheritedFd.CONSOLE: layout.CONSOLE_SOCKET,
}


class Recipe(msgspec.Struct, frozen=True):
    """A launch as the daemon recorded it, with its images; ``inputs`` is a copy of its disk."""

    argv: tuple[str, ...]
    uuid: str
    launch: int
    directory: str
    kernel: Path
    initrd: Path
    inputs: Path
    results_bytes: int


def boot(recipe: Recipe, directory: Path) -> Timeline:
    """Run the launch once more, in the empty ``directory``. Raises LaunchFailed or OSError."""
    argv = _lay_out(recipe, directory)
    timeline: dict[Moment, float] = {}
    files = _files(recipe, directory)
    with (
        _qemu(argv, files, directory, timeline) as pidfd,
        _Lines(directory / layout.QMP_SOCKET) as qmp,
    ):
        _power_on(qmp, recipe.uuid, timeline)
        with _Lines(directory / layout.AGENT_SOCKET) as agent:
            _compute(agent, recipe.launch, timeline)
        qmp.send({"execute": "quit"})
        _await_exit(pidfd)
        timeline[Moment.EXITED] = time.perf_counter()
    return timeline


def _files(recipe: Recipe, directory: Path) -> list[tuple[InheritedFd, Path, int]]:
    """Return what QEMU inherits at which number beside its sockets, and how it is opened."""
    return [
        (InheritedFd.KERNEL, recipe.kernel, os.O_RDONLY),
        (InheritedFd.INITRD, recipe.initrd, os.O_RDONLY),
        (InheritedFd.INPUTS, directory / layout.INPUTS_DISK, os.O_RDONLY),
        (InheritedFd.RESULTS, directory / layout.RESULTS_DISK, os.O_RDWR),
        (InheritedFd.CONSOLE_LOG, directory / layout.CONSOLE_LOG, os.O_WRONLY | os.O_CREAT),
    ]


def _lay_out(recipe: Recipe, directory: Path) -> tuple[str, ...]:
    """Make the launch's files; return its argv with every path into the daemon's directory moved.

    The inputs disk has the recorded launch's number, which the guest repeats.
    """
    shutil.copyfile(recipe.inputs, directory / layout.INPUTS_DISK)
    with (directory / layout.RESULTS_DISK).open("wb") as disk:
        disk.truncate(recipe.results_bytes)
    return tuple(word.replace(recipe.directory, str(directory)) for word in recipe.argv)


@contextmanager
def _qemu(
    argv: tuple[str, ...],
    files: list[tuple[InheritedFd, Path, int]],
    directory: Path,
    timeline: dict[Moment, float],
) -> Iterator[int]:
    """Start QEMU and yield its pidfd; what still runs at the end is killed."""
    with ExitStack() as started:
        # An interrupt between the spawn and the promise to kill would leave QEMU behind.
        with _uninterrupted(), ExitStack() as ours:
            actions = _standard_streams(directory)
            for number, name in SOCKETS.items():
                actions.append((os.POSIX_SPAWN_DUP2, _listen(directory / name, ours), number))
            for number, path, flags in files:
                actions.append((os.POSIX_SPAWN_OPEN, number, os.fspath(path), flags, 0o600))  # type: ignore[arg-type]
            timeline[Moment.SPAWNING] = time.perf_counter()
            pid = os.posix_spawn(
                argv[0], argv, ENVIRONMENT, file_actions=actions, setsid=True, setsigmask=()
            )
            pidfd = os.pidfd_open(pid)
            started.callback(_end, pidfd)
        yield pidfd


def _end(pidfd: int) -> None:
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # reaches a zombie as well, without effect
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _standard_streams(directory: Path) -> list[tuple[int, ...]]:
    log = os.fspath(directory / layout.STDERR_LOG)
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),  # type: ignore[list-item]
        (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT, 0o600),  # type: ignore[list-item]
        (os.POSIX_SPAWN_DUP2, 2, 1),
    ]


def _listen(path: Path, ours: ExitStack) -> int:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen(1)
        copy = fcntl(listener, F_DUPFD_CLOEXEC, FIRST_SOURCE_FD)
    ours.callback(os.close, copy)
    return copy


def _await_exit(pidfd: int) -> None:
    if not select.select([pidfd], [], [], DEADLINE_S)[0]:
        raise LaunchFailed(f"QEMU did not quit within {DEADLINE_S:g} s")


def _power_on(qmp: "_Lines", uuid: str, timeline: dict[Moment, float]) -> None:
    qmp.receive_until("QMP")
    qmp.send({"execute": "qmp_capabilities"})
    qmp.receive_until("return")
    qmp.send({"execute": "query-uuid"})
    if qmp.receive_until("return")["return"] != {"UUID": uuid}:
        raise LaunchFailed(f"QMP does not answer for the machine {uuid}")
    timeline[Moment.QMP_READY] = time.perf_counter()
    qmp.send({"execute": "cont"})
    qmp.receive_until("event", "RESUME")
    timeline[Moment.RUNNING] = time.perf_counter()


def _compute(agent: "_Lines", launch: int, timeline: dict[Moment, float]) -> None:
    agent.receive_until("type", "ready")
    timeline[Moment.AGENT_READY] = time.perf_counter()
    agent.send({"v": 1, "type": "start", "launch": launch})
    started = agent.receive_until("type", "started")
    timeline[Moment.STARTED] = time.perf_counter()
    agent.send({"v": 1, "type": "ack", "launch": launch, "seq": started["seq"]})
    finished = agent.receive_until("type", "finished")
    timeline[Moment.FINISHED] = time.perf_counter()
    agent.send({"v": 1, "type": "ack", "launch": launch, "seq": finished["seq"]})
    if finished["exit_code"] != 0:
        raise LaunchFailed(f"the computation failed: {finished}")


class _Lines:
    """A socket of QEMU's on which both sides send JSON objects, one a line."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(os.fspath(path))
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, message: dict[str, object]) -> None:
        """Send one object."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive_until(self, key: str, value: str | None = None) -> dict[str, Any]:
        """Return the next object that has ``key``, with this value if one is given."""
        while line := self._file.readline(LINE_BYTES):
            message: dict[str, Any] = json.loads(line)
            if key in message and value in (None, message[key]):
                return message
        raise LaunchFailed(f"QEMU hung up before it sent {value or key}")
