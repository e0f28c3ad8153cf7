"""The same launch, ordered from a real daemon as any client would, and timed from outside.

Moments are the times that the daemon gave its events, which is before they are on the disk and
before anybody sees them; the client's own clock, which is the same, adds the first and the last.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from chronovisor_api import v1

from chronovisor_bench.bare import Recipe
from chronovisor_bench.timeline import LaunchFailed, Moment, Timeline
from supervisor.api.wire_manifest import from_manifest
from supervisor.cli.connection import Daemon, reach
from supervisor.cli.exits import Failure
from supervisor.cli.options import Access
from supervisor.cli.watching import until_ended
from supervisor.host.locks import pidfile_owner
from supervisor.manifest import load, prepare
from supervisor.vm import events as ev
from supervisor.vm import layout

START_SECONDS = 90.0
"""The daemon serves within a second on a machine that is not busy."""
STOP_SECONDS = 60.0
"""It stops VMs that still run, without any grace."""
LAST_WORDS_BYTES = 4000
ANY_PORTS = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0")

MOMENTS = {
    ev.TAGS[ev.ComputationSubmitted]: Moment.ACCEPTED,
    ev.TAGS[ev.LaunchIntended]: Moment.SPAWNING,
    ev.TAGS[ev.QmpReady]: Moment.QMP_READY,
    ev.TAGS[ev.GuestStarted]: Moment.RUNNING,
    ev.TAGS[ev.AgentReady]: Moment.AGENT_READY,
    ev.TAGS[ev.ComputationStarted]: Moment.STARTED,
    ev.TAGS[ev.ComputationFinished]: Moment.FINISHED,
    ev.TAGS[ev.ProcessExited]: Moment.EXITED,
    ev.TAGS[ev.VmStopped]: Moment.RECORDED,
}
INTENDED = ev.TAGS[ev.LaunchIntended]


@contextmanager
def serving(directory: Path, catalogue: Path) -> Iterator[Daemon]:
    """Yield a connection to a daemon of our own, in ``directory``; at the end nothing of it runs.

    Raises LaunchFailed, with the daemon's last words, when it does not start or ends before us.
    """
    state = directory / "state"
    with (directory / "daemon.log").open("w+b") as log:
        command = _command(state, catalogue)
        # A group of its own: Ctrl-C is for us, and we end the daemon in good order.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, process_group=0)
        with process:
            try:
                _await_ready(process)
                with reach(Access(state)) as daemon:
                    yield daemon
            except (Failure, LaunchFailed) as error:
                raise LaunchFailed(f"{error}\n{_last_words(log)}") from error
            finally:
                _stop(process)
                kill_survivors(state)


def _command(state_dir: Path, catalogue: Path) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "supervisor", "serve", "--stop-vms", "--json"),
        *("--state-dir", os.fspath(state_dir), "--catalogue", os.fspath(catalogue)),
        *ANY_PORTS,
    )


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], START_SECONDS)[0]:
        raise LaunchFailed(f"the daemon did not start within {START_SECONDS:g} s")
    if not process.stdout.readline():
        raise LaunchFailed("the daemon did not start")


def _last_words(log: BinaryIO) -> str:
    log.seek(-min(LAST_WORDS_BYTES, log.seek(0, os.SEEK_END)), os.SEEK_END)
    return log.read().decode(errors="replace")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def kill_survivors(state: Path) -> None:
    """Kill what a daemon that could not end in good order has left: that QEMU lives is its design.

    A process that holds the lock of one of our pidfiles is ours.
    """
    for directory in state.glob("vms/*/launch-*"):
        if (pid := pidfile_owner(directory)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def upload(daemon: Daemon, manifest: Path) -> v1.Manifest:
    """Give the daemon a manifest's files; return what is submitted. Raises ManifestInvalid.

    The only change to the manifest is that whoever interrupts us waits for no guest.
    """
    prepared = prepare(load(manifest), manifest)
    for file in prepared.uploads:
        daemon.call(daemon.client.upload(file.path))
    limits = msgspec.structs.replace(prepared.manifest.limits, stop_grace_ms=0)
    return from_manifest(msgspec.structs.replace(prepared.manifest, limits=limits))


def learn(daemon: Daemon, manifest: v1.Manifest, inputs: Path) -> Recipe:
    """Launch once; return what the daemon ran, with a copy of its inputs disk at ``inputs``."""
    recipe: Recipe | None = None
    for event in _launch(daemon, manifest):
        if event.type == INTENDED:
            recipe = _recipe(event, inputs)
    if recipe is None:
        raise LaunchFailed("the log has no intent to launch")
    return recipe


def launch(daemon: Daemon, manifest: v1.Manifest) -> Timeline:
    """Launch once and return when what came. Raises LaunchFailed."""
    timeline = {Moment.CALLED: time.time()}
    for event in _launch(daemon, manifest):
        if (moment := MOMENTS.get(event.type)) and event.time:
            timeline[moment] = event.time.timestamp()
    timeline[Moment.SEEN] = time.time()
    return timeline


def _launch(daemon: Daemon, manifest: v1.Manifest) -> Iterator[v1.Event]:
    """Submit; yield the events until the end. Raises LaunchFailed unless it completed."""
    vm = daemon.call(daemon.client.submit(manifest))
    yield from until_ended(daemon, vm.vm_id)
    vm = daemon.call(daemon.client.get(vm.vm_id))
    if vm.outcome is not v1.Outcome.COMPLETED:
        raise LaunchFailed(f"the computation ended with {vm.outcome.name}: {vm.detail}")


def _recipe(event: v1.Event, inputs: Path) -> Recipe:
    facts = json.loads(event.data_json)
    directory = Path(facts["directory"])
    shutil.copyfile(directory / layout.INPUTS_DISK, inputs)
    return Recipe(
        argv=tuple(facts["argv"]),
        uuid=facts["uuid"],
        launch=facts["launch"],
        directory=facts["directory"],
        kernel=Path(facts["images"]["kernel"]["path"]),
        initrd=Path(facts["images"]["initrd"]["path"]),
        inputs=inputs,
        results_bytes=(directory / layout.RESULTS_DISK).stat().st_size,
    )
