"""A transcript, replayed: a real daemon on a QEMU that says what it said then.

The daemon gets the same computation with other bytes (its inputs are not in the transcript), the
same orders of clients at the same places, and must decide the same: the same orders to QEMU and to
the agent, in the same order, and the same events.
"""

import difflib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from chronovisor_api import Client, v1

from chronovisor_transcript.installing import install
from supervisor.api.wire_manifest import from_manifest
from supervisor.cli.connection import Daemon, reach
from supervisor.cli.options import Access
from supervisor.cli.transcripts import FORMAT, exported
from supervisor.cli.watching import END_TYPES
from supervisor.vm.events import Outcome
from supervisor.vm.spec import Accelerator, ByDigest, Manifest, Network

Entry = dict[str, Any]

ALGORITHM = b"#!/bin/sh\n"
KERNEL = bytes(0x202) + b"HdrS" + bytes((2, 2)) + bytes(8192)
"""What passes for a bzImage; it is never run."""
FILE_BYTES_MAX = 16 * 1024 * 1024
"""A transcript has 256 KiB, and the events of a launch are bounded too."""
PULSE = "query-status"
DECISIVE = ("outcome", "step", "command")
"""What tells one event from another of its type."""
Order = Callable[[Client, str], Coroutine[Any, Any, v1.Vm]]
ORDERS: dict[str, Order] = {
    "vm.pause-ordered.v1": Client.pause,
    "vm.resume-ordered.v1": Client.resume,
    "vm.reset-ordered.v1": Client.reset,
}
STOPS: dict[str, Order] = {
    Outcome.STOPPED_BY_CLIENT.value: Client.stop,
    Outcome.KILLED_BY_CLIENT.value: Client.kill,
}
"""What a client called, by the event that it led to."""


class NotReplayable(Exception):
    """The file is no transcript of one whole launch; the message says why."""


class Recorded(msgspec.Struct, frozen=True):
    """An exported transcript, read."""

    vm_id: str
    manifest: Manifest
    entries: tuple[Entry, ...]

    @property
    def events(self) -> list[Entry]:
        """The events of the launch, in the order of the log."""
        return [entry for entry in self.entries if "event" in entry]


class Verdict(msgspec.Struct, frozen=True):
    """What was compared, and where the two differ."""

    events: int
    orders: int
    differences: tuple[str, ...]


def read(file: Path) -> Recorded:
    """Read an exported transcript. Raises NotReplayable or OSError."""
    if file.stat().st_size > FILE_BYTES_MAX:
        raise NotReplayable(f"{file} is larger than {FILE_BYTES_MAX} bytes: no transcript is")
    try:
        header, *entries = [json.loads(line) for line in file.read_text().splitlines()]
        if header["transcript"] != FORMAT:
            raise NotReplayable(f"{file} has the form {header['transcript']!r}, not {FORMAT}")
        submitted = next(each for each in entries if each.get("event") == "vm.submitted.v1")
        manifest = msgspec.convert(submitted["data"]["manifest"], Manifest)
        _check_whole(entries)
        return Recorded(str(header["vm_id"]), manifest, tuple(entries))
    except (ValueError, LookupError, TypeError, StopIteration, msgspec.ValidationError) as error:
        raise NotReplayable(
            f"{file} is no transcript ({error!r:.200}): export one with "
            "`chronovisor transcript ID --json`"
        ) from error


def _check_whole(entries: Sequence[Entry]) -> None:
    said = [entry for entry in entries if entry.get("channel") == "qmp"]
    if not said or said[0]["direction"] != "opened":
        raise NotReplayable("its beginning is gone: it outgrew the flight recorder")
    if any(entry.get("event") == "vm.adopted.v1" for entry in entries):
        raise NotReplayable("the daemon was started again during this launch; that is not replayed")
    if not any(entry.get("event") in END_TYPES for entry in entries):
        raise NotReplayable("the launch is not over yet: export it again when it is")


def replay(file: Path) -> Verdict:
    """Run the transcript again and compare. Raises NotReplayable, Failure or OSError."""
    recorded = read(file)
    with tempfile.TemporaryDirectory(prefix="cvr-") as name:
        directory = Path(name)
        install(directory, file.resolve())
        with _daemon(directory) as access:
            return compare(recorded.entries, _live_again(access, recorded))


def compare(then: Sequence[Entry], now: Sequence[Entry]) -> Verdict:
    """Compare what was decided then with what is decided now, order by order."""
    differences = [
        line
        for title, decided in DECISIONS.items()
        for line in difflib.unified_diff(
            decided(then), decided(now), f"{title} then", f"{title} now", lineterm=""
        )
    ]
    orders = len(_orders(then, "qmp")) + len(_orders(then, "agent"))
    return Verdict(len(_events(then)), orders, tuple(differences))


def _events(entries: Sequence[Entry]) -> list[str]:
    return [
        " ".join([entry["event"], *(str(entry["data"][n]) for n in DECISIVE if n in entry["data"])])
        for entry in entries
        if "event" in entry
    ]


def _orders(entries: Sequence[Entry], channel: str) -> list[str]:
    sent = [
        entry.get("message") or {}
        for entry in entries
        if entry.get("channel") == channel and entry["direction"] == "sent"
    ]
    return [_order(message) for message in sent if message.get("execute") != PULSE]


def _order(message: Entry) -> str:
    kept = {name: value for name, value in message.items() if name not in ("id", "launch", "v")}
    return json.dumps(kept, sort_keys=True)


DECISIONS: dict[str, Callable[[Sequence[Entry]], list[str]]] = {
    "events": _events,
    "orders to QEMU": lambda entries: _orders(entries, "qmp"),
    "orders to the agent": lambda entries: _orders(entries, "agent"),
}


@contextmanager
def _daemon(directory: Path) -> Iterator[Access]:
    state = directory / "state"
    # The program in QEMU's place is ours, and lies where nobody else may look.
    user = ("--qemu-user", "root") if os.geteuid() == 0 else ()
    path = os.pathsep.join([os.fspath(directory), os.environ.get("PATH", os.defpath)])
    with (directory / "stderr").open("w+") as stderr:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "supervisor", "serve", "--json", "--stop-vms"),
                *("--state-dir", os.fspath(state), "--catalogue", os.fspath(directory)),
                *("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"),
                *("--ws", "127.0.0.1:0", *user),
            ],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PATH": path},
            process_group=0,
        )
        with process:
            try:
                assert process.stdout is not None
                if not process.stdout.readline():
                    raise NotReplayable(f"no daemon: {(directory / 'stderr').read_text()}")
                yield Access(state)
            finally:
                process.send_signal(signal.SIGTERM)


def _live_again(access: Access, recorded: Recorded) -> list[Entry]:
    """Submit the computation, order what clients ordered then, and export the new transcript."""
    then = recorded.events
    with reach(access) as daemon, reach(access) as client:
        manifest = from_manifest(_with_other_bytes(daemon, recorded.manifest))
        daemon.call(daemon.client.submit(manifest, vm_id=recorded.vm_id))
        for seen, event in enumerate(daemon.stream(daemon.patient.watch(vm_id=recorded.vm_id)), 1):
            if event.type in END_TYPES:
                break
            if seen < len(then) and (order := _client_order(then[seen])) is not None:
                client.call(order(client.client, recorded.vm_id))
        return exported(daemon, recorded.vm_id, None)[1:]


def _client_order(entry: Entry) -> Order | None:
    if entry["event"] == "vm.stop-ordered.v1":
        return STOPS.get(entry["data"]["outcome"])
    return ORDERS.get(entry["event"])


def _with_other_bytes(daemon: Daemon, manifest: Manifest) -> Manifest:
    """Return the computation with uploads of ours in the place of its files."""
    uploads = (daemon.client.upload(content) for content in (ALGORITHM, KERNEL))
    small, kernel = (ByDigest(daemon.call(upload)) for upload in uploads)
    replaced = msgspec.structs.replace
    shape = replaced(
        manifest.vm,
        accel=Accelerator.TCG,
        kernel=kernel,
        initrd=(small,),
        firmware=None,
        firmware_vars=None,
    )
    return replaced(
        manifest,
        algorithm=replaced(manifest.algorithm, sha256=small.sha256),
        datasets=tuple(replaced(each, sha256=small.sha256) for each in manifest.datasets),
        vm=shape,
        network=Network(),
    )
