"""The owner of a confidential guest, with the command line, beside a daemon that is not trusted."""

import base64
import getpass
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chronovisor_sev.demonstration import prepare
from chronovisor_sev.tampering import Tamper, choose_tamper

from supervisor.cli.connection import reach
from supervisor.cli.exits import Failure
from supervisor.cli.options import Access
from tests.e2e.daemon_process import Daemon, Json

COMMAND_LINE = "console=ttyS0 quiet"
"""What the daemon gives every guest (docs/confidential.md)."""
MIN_VERSION = "1.51.0"
TRUST = ("--signed-cek", "cek.cert", "--amd-root", "ask_ark.cert")
SERVE = ("--qemu-user", getpass.getuser())
"""Another user may not reach the interpreter that runs the simulated machine."""


class Owner:
    """Runs the owner's commands in the owner's directory."""

    def __init__(self, daemon: Daemon, table: Path, guest: Path) -> None:
        self.daemon = daemon
        self.host, self.directory = table / "host", table / "owner"
        prepare(table, guest)
        daemon.more_environment["PATH"] = f"{self.host}:{os.environ['PATH']}"

    def tamper(self, tamper: Tamper) -> None:
        choose_tamper(self.host / "platform", tamper)

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        with _working_in(self.directory):
            return self.daemon.run(*arguments, codes=codes)

    def platform(self) -> None:
        """Ask the daemon what its processor is."""
        (self.directory / "platform.json").write_text(self.run("sev", "platform", "--json"))

    def session(self, name: str = "launch-1", policy: str = "nodbg,noks") -> Path:
        self.platform()
        chosen = ("--policy", policy, "-o", name)
        self.run("sev", "session", "platform.json", *TRUST, *chosen)
        return self.directory / name

    def digest(self) -> str:
        images = ("--firmware", "firmware.fd", "--kernel", "vmlinuz", "--initrd", "initrd.cpio")
        return self.run("sev", "digest", "sev", *images, "--command-line", COMMAND_LINE).strip()

    def submit(self, vm_id: str, *changes: tuple[str, str], codes: tuple[int, ...] = (0,)) -> Json:
        manifest = self.directory / "manifest.toml"
        text = manifest.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        changed = self.directory / f"{vm_id}.toml"
        changed.write_text(text)
        return self.daemon.submit(changed, "--vm-id", vm_id, codes=codes)

    def release(
        self, vm_id: str, *, session: str = "launch-1", codes: tuple[int, ...] = (0,)
    ) -> str:
        return self.run(*self._release(vm_id, session), codes=codes)

    @contextmanager
    def begin_release(self, vm_id: str) -> Iterator[None]:
        """Release beside what the test does; it is over when this ends."""
        words = self._release(vm_id, "launch-1")
        with _working_in(self.directory):
            releasing = self.daemon.begin(*words)
        with releasing:
            try:
                yield
            finally:
                releasing.kill()

    def _release(self, vm_id: str, session: str) -> tuple[str, ...]:
        accepted = ("--digest", self.digest(), "--min-version", MIN_VERSION)
        secret = ("--secret", "luks-key:data.key")
        return ("sev", "release", vm_id, "--session", session, *accepted, *secret)

    def inject(self, vm_id: str, measurement: str, header: bytes, secret: bytes) -> str:
        """Send a packet to the first launch, as any client may; return why it was refused."""
        with reach(Access(self.daemon.state_dir)) as daemon:
            injection = daemon.client.inject_secret(
                vm_id,
                launch=1,
                measurement=base64.b64decode(measurement),
                packet_header=header,
                secret=secret,
            )
            try:
                daemon.call(injection)
            except Failure as refusal:
                return str(refusal)
        return ""

    def packets(self, vm_id: str) -> set[str]:
        """SHA-256 of every packet that the log names."""
        events = self.daemon.events("--vm", vm_id)
        return {each["data"]["sha256"] for each in events if ".secret-" in each["type"]}

    def report(self, vm_id: str) -> str:
        """What the computation found."""
        self.run("result", vm_id, "-o", "result.tar")
        with tarfile.open(self.directory / "result.tar") as archive:
            member = archive.extractfile("results/report.txt")
            assert member is not None
            return member.read().decode()

    def types(self, vm_id: str) -> list[str]:
        return [event["type"] for event in self.daemon.events("--vm", vm_id)]

    def measured(self, vm_id: str) -> Json:
        """The event of the measurement, once it has come."""
        return self.daemon.wait_for(vm_id, "vm.launch-measured.v1")


@contextmanager
def _working_in(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
