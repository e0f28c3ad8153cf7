"""A daemon of our own with paused VMs, which is killed and started again."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from chronovisor_api import v1

from chronovisor_bench.process_memory import Memory, memory_of
from chronovisor_bench.supervised import ANY_PORTS, kill_survivors, upload
from chronovisor_bench.timeline import LaunchFailed
from supervisor.admission.events import TAGS as HOST_TAGS
from supervisor.admission.events import VmsRecovered
from supervisor.cli.connection import Daemon, reach
from supervisor.cli.options import Access
from supervisor.vm import events as ev

READY_S = 120.0
VM_STREAM = "vm/"
RECOVERED = HOST_TAGS[VmsRecovered]
STARTED, PAUSED, FAILED = (ev.TAGS[kind] for kind in (ev.GuestStarted, ev.GuestPaused, ev.VmFailed))


class PausedFleet:
    """One state directory, and the daemon that serves it now.

    Methods raise LaunchFailed, or Failure when the daemon does not answer.
    """

    def __init__(
        self, directory: Path, catalogue: Path, manifest: Path, options: Sequence[str] = ()
    ) -> None:
        self._options = options
        self._state = directory / "state"
        self._log = directory / "daemon.log"
        self._catalogue = catalogue
        self._source = manifest
        self._manifest: v1.Manifest | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel = ExitStack()
        self._daemon: Daemon | None = None
        self.vm_ids: list[str] = []

    def spawn(self) -> None:
        """Begin a life of the daemon, without waiting for it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (
                    *(sys.executable, "-m", "supervisor", "serve", "--json"),
                    *("--state-dir", os.fspath(self._state)),
                    *("--catalogue", os.fspath(self._catalogue)),
                    *ANY_PORTS,
                    *self._options,
                ),
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
            )

    def await_ready(self) -> None:
        """Wait until the daemon says that it serves, and get ready to call it."""
        assert self._process is not None
        assert self._process.stdout is not None
        output = self._process.stdout
        if not select.select([output], [], [], READY_S)[0] or not output.readline():
            raise LaunchFailed(f"the daemon did not start:\n{self._last_words()}")
        self._daemon = self._channel.enter_context(reach(Access(self._state)))

    @property
    def daemon(self) -> Daemon:
        """The daemon of this life."""
        assert self._daemon is not None
        return self._daemon

    def grow(self, count: int) -> None:
        """Submit VMs until there are ``count``, each of them paused."""
        if self._manifest is None:
            self._manifest = upload(self.daemon, self._source)
        head = self.head()
        new = [self._submit() for _ in range(count - len(self.vm_ids))]
        self.await_each(head, new, STARTED)
        for vm_id in new:
            self.daemon.call(self.daemon.client.pause(vm_id))
        self.await_each(head, new, PAUSED)
        self.vm_ids += new

    def _submit(self) -> str:
        assert self._manifest is not None
        return self.daemon.call(self.daemon.client.submit(self._manifest)).vm_id

    def await_each(self, head: int, vm_ids: list[str], kind: str) -> None:
        """Wait until each VM has an event of a kind after ``head``."""
        missing = set(vm_ids)
        if not missing:
            return
        watch = self.daemon.patient.watch(after=head, types=(kind, FAILED))
        for event in self.daemon.stream(watch):
            if event.type == FAILED:
                raise LaunchFailed(f"a VM failed: {event.data_json}")
            missing.discard(event.stream.removeprefix(VM_STREAM))
            if not missing:
                break

    def head(self) -> int:
        """Return how many events the log has."""
        return self.daemon.call(self.daemon.client.log()).head

    def await_adopted(self, head: int) -> float:
        """Return when the daemon, just spawned, answered and had found every VM again.

        ``head`` is where the log ended before this life.
        """
        self.await_ready()
        self.head()
        if self.vm_ids:
            watch = self.daemon.patient.watch(after=head, types=(RECOVERED,))
            event = next(self.daemon.stream(watch))
            if json.loads(event.data_json)["adopted"] != len(self.vm_ids):
                raise LaunchFailed(f"not every VM was adopted: {event.data_json}")
        return time.monotonic()

    def check(self) -> None:
        """Raise LaunchFailed unless every VM is paused and answers."""
        listed = self.daemon.stream(self.daemon.client.list())
        well = [vm for vm in listed if vm.phase is v1.Phase.PAUSED and _answers(vm)]
        if len(well) != len(self.vm_ids):
            raise LaunchFailed(f"{len(well)} of {len(self.vm_ids)} VMs are paused and answer")

    def memory(self) -> Memory:
        """Return what the daemon holds."""
        assert self._process is not None
        return memory_of(self._process.pid)

    def kill(self) -> None:
        """End the daemon as a crash would; VMs live on."""
        self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def leave(self) -> None:
        """End the daemon and every VM."""
        self.kill()
        kill_survivors(self._state)

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def _answers(vm: v1.Vm) -> bool:
    return vm.contact is not None and vm.contact.state is v1.ContactState.OK
