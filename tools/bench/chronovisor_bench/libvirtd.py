"""libvirtd, started by us for ourselves: everything of it lies in one directory.

It runs in session mode, so it needs no rights of its own and touches nothing that the host's own
libvirt has. Root cannot have a session: libvirtd, and with it QEMU, then runs as an unprivileged
user, as our daemon's QEMU does.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from chronovisor_bench.libvirt_client import Connection, Library, LibvirtFailed, connect
from chronovisor_bench.libvirt_domain import DomainFiles, domain_xml
from chronovisor_bench.process_memory import Memory, memory_of
from supervisor.config import QEMU_SHARED_USER
from supervisor.host.locks import lock_owner

PROGRAM = "libvirtd"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NO_LOG_DAEMON = 'stdio_handler = "file"\n'
"""virtlogd would be one more process, that outlives libvirtd and us."""
PLACES = ("RUNTIME_DIR", "CONFIG_HOME", "DATA_HOME", "CACHE_HOME")
RESULTS_BYTES = 1024 * 1024
TOGETHER = 4
"""Clients that start domains at once while a fleet is made, which is not measured."""
LEAVE_S = 20.0
ADOPTED_S = 120.0
POLL_S = 0.005


def why_not() -> str | None:
    """Return why there is no libvirt to compare with, if there is none."""
    if shutil.which(PROGRAM, path=SYSTEM_PATH) is None:
        return f"{PROGRAM} is not installed (Debian: libvirt-daemon, libvirt-daemon-driver-qemu)"
    try:
        Library()
    except OSError as error:
        return f"no client library: {error}"
    return None


class Libvirtd:
    """One directory, and the libvirtd that serves it now. Every method may raise LibvirtFailed."""

    def __init__(self, directory: Path, files: DomainFiles, memory_bytes: int) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._library = Library()
        self._user = None if os.geteuid() else pwd.getpwnam(QEMU_SHARED_USER)
        self._socket = self._place("RUNTIME_DIR") / "libvirt" / "libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._lay_out(files)

    def _place(self, name: str) -> Path:
        return self._directory / name.partition("_")[0].lower()

    def _lay_out(self, files: DomainFiles) -> None:
        configuration = self._place("CONFIG_HOME") / "libvirt"
        configuration.mkdir(parents=True)
        (configuration / "qemu.conf").write_text(NO_LOG_DAEMON)
        for name in PLACES:
            self._place(name).mkdir(exist_ok=True)
        images = self._directory / "images"
        images.mkdir()
        self._files = DomainFiles(
            files.emulator,
            Path(shutil.copy(files.kernel, images / "kernel")),
            Path(shutil.copy(files.initrd, images / "initrd")),
            Path(shutil.copy(files.firmware, images / "firmware")),
            Path(shutil.copy(files.inputs, images / "inputs")),
        )
        self._give_away(self._directory)

    def _give_away(self, directory: Path) -> None:
        if self._user is None:
            return
        for path in (directory, *directory.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def spawn(self) -> None:
        """Begin a life of the daemon, without waiting for it."""
        environment = {f"XDG_{name}": str(self._place(name)) for name in PLACES}
        user = self._user
        with (self._directory / "libvirtd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM],
                env={"PATH": SYSTEM_PATH, "HOME": str(self._directory), **environment},
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=() if user else None,
            )

    def connect(self) -> Connection:
        """Return a connection to the daemon, once it listens."""
        return connect(self._library, self._socket)

    def kill(self) -> None:
        """End the daemon as a crash would; domains live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def memory(self) -> Memory:
        """Return what the daemon holds."""
        assert self._process is not None
        return memory_of(self._process.pid)

    def describe(self) -> str:
        """Return the XML of another domain, whose files are made."""
        self._made += 1
        name = f"vm-{self._made}"
        directory = self._directory / name
        directory.mkdir()
        with (directory / "results").open("wb") as disk:
            disk.truncate(RESULTS_BYTES)
        self._give_away(directory)
        return domain_xml(name, directory, self._files, self._memory_bytes)

    def grow(self, count: int) -> None:
        """Start paused domains until ``count`` were started."""
        connection = self.connect()
        try:
            with ThreadPoolExecutor(TOGETHER) as starters:
                missing = [self.describe() for _ in range(count - self._made)]
                for _ in starters.map(connection.create_paused, missing):
                    pass
        finally:
            connection.close()

    def await_adopted(self, count: int) -> tuple[float, float]:
        """Return when the states of all domains were known, and when all of them took a job."""
        connection = self.connect()
        try:
            _until(lambda: connection.known() == count)
            known = time.monotonic()
            _until(lambda: connection.answering() == count)
            return known, time.monotonic()
        finally:
            connection.close()

    def leave(self) -> None:
        """End the daemon and every domain of this directory."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                self.kill()
        for pidfile in self._place("RUNTIME_DIR").glob("libvirt/qemu/run/vm-*.pid"):
            with pidfile.open("rb") as file:
                pid = lock_owner(file.fileno())
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + ADOPTED_S
    while not reached():
        if time.monotonic() > give_up:
            raise LibvirtFailed(f"libvirtd has not found its domains within {ADOPTED_S:g} s")
        time.sleep(POLL_S)
