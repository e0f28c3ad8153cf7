"""A client that wants one computation, whatever happens to the daemon.

All that it was told is kept: the daemon must never take back a word of it.
"""

import io
import secrets
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from chronovisor_api import v1

from supervisor.cli.connection import Daemon, reach
from supervisor.cli.exits import ExitCode, Failure, Unreachable
from supervisor.cli.options import Access
from supervisor.cli.watching import END_TYPES
from supervisor.vm import events as ev

PATIENCE_S = 150.0
"""A computation takes some seconds, and the pause between two daemons one, on an idle machine."""
RETRY_S = 0.1
AGAIN = "try again"
"""Ends a refusal that is for now only: a VM is found again some time after the daemon serves."""
VM_ID = "boundaries"
SCRIPT = b"#!/bin/sh\necho the right result\n"
STDOUT = b"the right result\n"
DELETED = ev.TAGS[ev.VmDeleted]

T = TypeVar("T")


class Told(msgspec.Struct):
    """What the daemon acknowledged: events by their positions, and answers."""

    events: dict[int, str] = {}
    artifact: str = ""
    vm_id: str = ""
    outcome: v1.Outcome = v1.Outcome.UNSPECIFIED
    detail: str = ""
    stdout: bytes = b""
    deleted: bool = False


class Client:
    """One computation, from the upload of its algorithm until its VM is deleted."""

    def __init__(self, access: Access) -> None:
        self.told = Told()
        self._access = access
        self._key = secrets.token_hex(16)
        self._give_up = time.monotonic() + PATIENCE_S

    def run(self) -> None:
        """Do it all, through any number of daemons. Raises Failure when it takes too long."""
        with reach(self._access) as daemon:
            stored = self._insist(lambda: daemon.call(daemon.client.upload(SCRIPT)))
            self.told.artifact = stored
            self._insist(lambda: self._submit(daemon, stored))
            self.told.vm_id = VM_ID
            self._watch(daemon, END_TYPES)
            self._look_at_the_end(daemon)
            self._insist(lambda: self._delete(daemon))
            self._watch(daemon, frozenset({DELETED}))

    def _submit(self, daemon: Daemon, algorithm: str) -> None:
        manifest = v1.Manifest(
            name=VM_ID,
            algorithm=v1.Algorithm(sha256=algorithm),
            vm=v1.VmShape(accel=v1.Accelerator.TCG),
        )
        daemon.call(daemon.client.submit(manifest, idempotency_key=self._key, vm_id=VM_ID))

    def _watch(self, daemon: Daemon, until: frozenset[str]) -> None:
        self._insist(lambda: self._hear(daemon, until))

    def _hear(self, daemon: Daemon, until: frozenset[str]) -> None:
        """Hear every event again from the beginning: the daemon must tell the same story twice."""
        for event in daemon.stream(daemon.patient.watch()):
            known = self.told.events.setdefault(event.position, event.event_id)
            if known != event.event_id:
                raise Failure(ExitCode.HOST_TROUBLE, f"position {event.position} was rewritten")
            if event.type in until:
                return
            self._check_patience()

    def _look_at_the_end(self, daemon: Daemon) -> None:
        vm = self._insist(lambda: daemon.call(daemon.client.get(VM_ID)))
        self.told.outcome, self.told.detail = vm.outcome, vm.detail
        if vm.result is not None:
            self.told.stdout = self._insist(lambda: _stdout(daemon))

    def _delete(self, daemon: Daemon) -> None:
        try:
            daemon.call(daemon.client.delete(VM_ID))
        except Failure as failure:
            if failure.exit_code is not ExitCode.NOT_FOUND:
                raise
        self.told.deleted = True

    def _insist(self, action: Callable[[], T]) -> T:
        """Do something that may be repeated, until a daemon answers."""
        while True:
            try:
                return action()
            except Failure as failure:
                if not isinstance(failure, Unreachable) and AGAIN not in failure.message:
                    raise
                self._check_patience()
                time.sleep(RETRY_S)

    def _check_patience(self) -> None:
        if time.monotonic() > self._give_up:
            raise Failure(ExitCode.UNREACHABLE, f"not ended within {PATIENCE_S:g} s")


def _stdout(daemon: Daemon) -> bytes:
    pieces = daemon.stream(daemon.client.result_pieces(VM_ID))
    archive = b"".join(piece.chunk for piece in pieces)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = [name for name in tar.getnames() if Path(name).name == "stdout"]
        file = tar.extractfile(names[0]) if names else None
        return file.read() if file else b""
