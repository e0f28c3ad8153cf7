"""A real daemon and the real command line, as a person would use them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any

START_S = 90
COMMAND_S = 240
"""Software emulation on a busy machine boots in seconds; these only end what hangs."""

Json = dict[str, Any]


class Daemon:
    """`chronovisor serve` on a state directory, and the client commands against it."""

    def __init__(self, state_dir: Path, catalogue: Path) -> None:
        self.state_dir = state_dir
        self.catalogue = catalogue
        self.ready: Json = {}
        self.more_environment: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CHRONOVISOR_STATE_DIR": str(self.state_dir),
            "CHRONOVISOR_CATALOGUE": str(self.catalogue),
            "PYTHONWARNINGS": "default",
            **self.more_environment,
        }

    @property
    def pid(self) -> int:
        """The daemon's own; it must be running."""
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> None:
        self._process = self._serve(*options)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"serve ended: {self.stderr()}")
        self.ready = json.loads(line)

    def serve_and_fail(self, *options: str) -> tuple[int, str]:
        """Start a daemon that cannot start; return its exit code and what it said."""
        process = self._serve(*options)
        code = process.wait(START_S)
        assert process.stdout is not None
        process.stdout.close()
        return code, self.stderr()

    def _serve(self, *options: str) -> "subprocess.Popen[str]":
        self.state_dir.parent.mkdir(parents=True, exist_ok=True)
        listeners = ("--grpc", "--http", "--ws")
        ports = [word for option in listeners for word in (option, "127.0.0.1:0")]
        with self._stderr_path.open("w") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "supervisor", "serve", "--json", *ports, *options],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self.environment,
                text=True,
            )

    @property
    def _stderr_path(self) -> Path:
        return self.state_dir.parent / "daemon.stderr"

    def stderr(self) -> str:
        return self._stderr_path.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the daemon and wait for it; return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for a daemon that ends by itself; return its exit code."""
        assert self._process is not None
        code = self._process.wait(COMMAND_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def end_for_good(self) -> None:
        """Leave nothing behind, whatever state a failed test left things in."""
        if self._process is not None:
            self.end(signal.SIGKILL)
        for pidfile in self.state_dir.glob("vms/*/*/qemu.pid"):
            kill_holder(pidfile)
        for pid in qemu_pids(self.state_dir):  # whose files were deleted
            with suppress(ProcessLookupError):  # or who is dying already of what we just did
                os.kill(pid, signal.SIGKILL)

    def begin(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start a client command that is to outlive the daemon."""
        return subprocess.Popen(
            [sys.executable, "-m", "supervisor", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            text=True,
        )

    def run(self, *arguments: str | Path, codes: tuple[int, ...] = (0,)) -> str:
        """Run a client command; return its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "supervisor", *map(str, arguments)],
            capture_output=True,
            env=self.environment,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode in codes, f"{arguments}: {done.returncode}\n{done.stderr}"
        return done.stdout if done.returncode == 0 or done.stdout else done.stderr

    def json(self, *arguments: str | Path, codes: tuple[int, ...] = (0,)) -> Json:
        value: Json = json.loads(self.run(*arguments, "--json", codes=codes))
        return value

    def submit(self, manifest: Path, *options: str, codes: tuple[int, ...] = (0,)) -> Json:
        return self.json("submit", manifest, *options, codes=codes)

    def events(self, *options: str) -> list[Json]:
        lines = self.run("events", "--after", "0", "--json", *options).splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, vm_id: str, event_type: str, count: int = 1) -> Json:
        """Follow the events of a VM until the one of this type, or the count-th; return it."""
        command = [sys.executable, "-m", "supervisor", "events", "--json", "--after", "0"]
        with subprocess.Popen(
            [*command, "--follow", "--vm", vm_id],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            text=True,
        ) as process:
            assert process.stdout is not None
            watchdog = _killed_after(process, COMMAND_S)
            try:
                for line in process.stdout:
                    event: Json = json.loads(line)
                    count -= event["type"] == event_type
                    if count == 0:
                        return event
            finally:
                watchdog.cancel()
                process.kill()
        raise AssertionError(f"no {event_type} of {vm_id}")


def _killed_after(process: "subprocess.Popen[str]", seconds: float) -> Timer:
    timer = Timer(seconds, process.kill)
    timer.start()
    return timer


def kill_holder(pidfile: Path) -> None:
    try:
        pid = int(pidfile.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if str(pidfile.parent).encode() in command:
            os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        pass


def qemu_pids(state_dir: Path) -> list[int]:
    """The living QEMU processes of a state directory, zombies left out."""
    return sorted(_pids_naming(str(state_dir).encode()))


def _pids_naming(text: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" in command.split(b"\0")[0] and text in command:
            yield int(entry.name)


@contextmanager
def running(daemon: Daemon, *options: str) -> Iterator[Daemon]:
    daemon.start(*options)
    try:
        yield daemon
    finally:
        daemon.end_for_good()
