"""A state directory of our own: daemons that live and die on it, and every QEMU that they started.

The daemon finds a small script as its QEMU, which notes who was started and becomes the real one.
So a QEMU that ran twice is seen, however short its life was.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supervisor.cli.options import Access
from supervisor.host.facts import QEMU

ANY_PORTS = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0")
LEAVE_S = 90.0
"""A daemon leaves within a second; this only ends what hangs."""

_WITNESS = """\
#!/bin/sh
printf '%s\\n' "$*" >>{audit}
exec {qemu} "$@"
"""


class DaemonHung(Exception):
    """A daemon neither served nor ended."""


class Scene:
    """What one case works in: ``root`` is its own, and empty."""

    def __init__(self, root: Path, catalogue: Path) -> None:
        self.root = root
        self.access = Access(root / "state")
        self._catalogue = catalogue
        self._audit = root / "qemus"
        self._stderr = root / "stderr"
        self._plan = root / "plan.toml"
        self._write_witness()

    def _write_witness(self) -> None:
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise FileNotFoundError(f"{QEMU} is not installed")
        programs = self.root / "bin"
        programs.mkdir()
        # QEMU may run as somebody else, who must be able to find the script and to note itself.
        self.root.chmod(0o711)
        self._audit.touch()
        self._audit.chmod(0o666)
        witness = programs / QEMU
        witness.write_text(_WITNESS.format(audit=self._audit, qemu=qemu))
        witness.chmod(0o755)

    @contextmanager
    def daemon(self, plan: str = "") -> Iterator["subprocess.Popen[str]"]:
        """Yield a daemon that serves, or that its plan has killed already; leave none behind."""
        process = self._start(plan)
        with process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()

    def _start(self, plan: str) -> "subprocess.Popen[str]":
        options: tuple[str, ...] = ()
        if plan:
            self._plan.write_text(plan)
            options = ("--fault-plan", os.fspath(self._plan))
        path = os.pathsep.join([os.fspath(self.root / "bin"), os.environ.get("PATH", os.defpath)])
        with self._stderr.open("a") as stderr:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "supervisor", "serve", "--json", *options),
                    *("--state-dir", os.fspath(self.access.state_dir)),
                    *("--catalogue", os.fspath(self._catalogue)),
                    *ANY_PORTS,
                ],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PATH": path},
                text=True,
                process_group=0,
            )

    @property
    def said(self) -> str:
        """What all daemons said on stderr."""
        return self._stderr.read_text()

    def started_qemus(self) -> Counter[str]:
        """How many times a QEMU of each UUID was started."""
        words = (line.split() for line in self._audit.read_text().splitlines())
        return Counter(each[each.index("-uuid") + 1] for each in words)

    def living_qemus(self) -> list[int]:
        """The processes that name this state directory, the daemon's own left out."""
        return [pid for pid, command in _commands() if self._is_qemu(command)]

    def kill_qemus(self) -> None:
        """End what a failed case has left."""
        for pid in self.living_qemus():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _is_qemu(self, command: bytes) -> bool:
        state = os.fspath(self.access.state_dir).encode()
        return state in command and QEMU.encode() in command.split(b"\0")[0]

    def files(self) -> set[str]:
        """What lies in the state directory, the segments of the log left out."""
        state = self.access.state_dir
        found = (path.relative_to(state) for path in state.rglob("*"))
        return {os.fspath(path) for path in found if path.parts[0] != "log"}


def _commands() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield int(entry.name), (entry / "cmdline").read_bytes()


def leave(daemon: "subprocess.Popen[str]") -> int:
    """End a daemon in good order; return its exit status. Raises DaemonHung."""
    daemon.terminate()
    try:
        return daemon.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        raise DaemonHung("the daemon did not leave") from None
