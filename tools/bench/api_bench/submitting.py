"""gRPC: a real daemon against bare grpclib, on Unix sockets, with the same bytes both ways.

One idle VM has the daemon's only place to run, so that what is submitted is accepted, durable, and
then waits for its turn: no QEMU takes the processors meanwhile.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from chronovisor_bench.idle_guest import write_manifest
from chronovisor_bench.paused_fleet import PausedFleet
from chronovisor_bench.supervised import upload
from eventlog_bench.appending import raw
from eventlog_bench.workload import frame_of

from api_bench.child import Child, started
from api_bench.words import Answered, Serve, Serving, Submit, Watch, Watched

MAX_VMS = 1_000_000
ECHO_SOCKET, DAEMON_SOCKET = "echo.sock", "state/grpc.sock"


class Sizes(msgspec.Struct, frozen=True):
    """Submits one after another, submits with ``IN_FLIGHT`` at once, and events of one stream."""

    alone: int
    at_once: int
    watched: int


IN_FLIGHT = 32


class Round(msgspec.Struct, frozen=True):
    """One contestant's figures: submits one after another, 32 at once, and the events streamed."""

    alone: Answered
    at_once: Answered
    watched_per_s: float


class Submitting:
    """A daemon, an echo with its messages, and the client of both. Raises ChildFailed."""

    def __init__(self, directory: Path, caller: Child, manifest: bytes) -> None:
        self._directory = directory
        self._caller = caller
        self._manifest = manifest

    def bare(self, sizes: Sizes) -> Round:
        """Call the echo."""
        return self._round(ECHO_SOCKET, sizes)

    def ours(self, sizes: Sizes) -> Round:
        """Call the daemon."""
        return self._round(DAEMON_SOCKET, sizes)

    def floor_s(self, sizes: Sizes) -> float:
        """Return the median time of writing and syncing as many bytes as a manifest has."""
        return raw(self._directory, frame_of(len(self._manifest)), sizes.alone).p50

    def _round(self, name: str, sizes: Sizes) -> Round:
        socket = str(self._directory / name)
        alone = Submit(socket, self._manifest, sizes.alone, 1)
        at_once = Submit(socket, self._manifest, sizes.at_once, IN_FLIGHT)
        watched = self._caller.ask(Watch(socket, sizes.watched), Watched)
        return Round(
            self._caller.ask(alone, Answered),
            self._caller.ask(at_once, Answered),
            sizes.watched / watched.all_s,
        )


@contextmanager
def submitting(directory: Path, catalogue: Path, sizes: Sizes) -> Iterator[Submitting]:
    """Start all three. Raises ChildFailed, LaunchFailed or Failure."""
    options = ("--max-running", "1", "--max-vms", str(MAX_VMS))
    source = write_manifest(directory)
    fleet = PausedFleet(directory, catalogue, source, options)
    with ExitStack() as owned:
        owned.callback(fleet.leave)
        fleet.spawn()
        fleet.await_ready()
        fleet.grow(1)
        manifest = bytes(upload(fleet.daemon, source))
        caller = owned.enter_context(started("caller"))
        echo = owned.enter_context(started("echo"))
        echo.ask(_script(directory, caller, manifest, sizes), Serving)
        yield Submitting(directory, caller, manifest)


def _script(directory: Path, caller: Child, manifest: bytes, sizes: Sizes) -> Serve:
    """Return what the echo says: what the daemon presents, and the events of its log."""
    socket = str(directory / DAEMON_SOCKET)
    submitted = caller.ask(Submit(socket, manifest, sizes.watched // 3 + 1, IN_FLIGHT), Answered)
    watched = caller.ask(Watch(socket, sizes.watched), Watched)
    return Serve(str(directory / ECHO_SOCKET), submitted.last, watched.messages)
