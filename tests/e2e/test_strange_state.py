"""A real daemon on a state directory that is not as it left it; no guest is needed."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from eventlog import LogOptions, NewEvent, open_log
from supervisor.host.facts import read_facts
from supervisor.host.process import Process, start_ticks
from supervisor.host.spawn import spawn
from supervisor.journal import decode
from supervisor.vm import layout
from supervisor.vm.effects import ProcessSignal
from supervisor.vm.events import GuestStarted, QemuSpawned
from supervisor.vm.observations import ProcessIdentity
from supervisor.vm.qemu_argv import launch_uuid
from tests.e2e.daemon_process import Daemon, Json, running
from tests.test_replay import lives
from tests.vm.states import PROCESS

SLEEPS = "import signal, sys; print('ready', file=sys.stderr, flush=True); signal.pause()"
STRANGERS_UUID = "11111111-2222-5333-8444-555555555555"
DAY_S = 86_400
NEVER_MS = 4_000_000_000_000


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="cv-") as directory:
        made = Daemon(Path(directory) / "state", Path(directory) / "no-catalogue")
        yield made
        made.end_for_good()


async def write(
    directory: Path, ahead_s: int, *stories: str, process: ProcessIdentity = PROCESS
) -> None:
    """Write the lives of VMs, by a clock that is so far ahead; nobody's time is over."""
    options = LogOptions(clock=lambda: time.time_ns() + ahead_s * 1_000_000_000)
    async with open_log(directory, options) as log:
        for record in lives(*stories):
            event = decode(record)
            if isinstance(event, GuestStarted):
                event = msgspec.structs.replace(event, ttl_deadline_ms=NEVER_MS)
            if isinstance(event, QemuSpawned):
                event = msgspec.structs.replace(event, process=process)
            payload = msgspec.msgpack.encode(event)
            await log.append([NewEvent(record.stream, record.type, payload, record.event_id)])


def host_events(daemon: Daemon, kind: str, count: int = 0) -> list[Json]:
    """Return the host's events of a kind, once there are so many."""
    give_up = time.monotonic() + 60
    while True:
        found = daemon.events("--type", f"host.{kind}.v1")
        if len(found) >= count:
            return [event["data"] for event in found]
        assert time.monotonic() < give_up, daemon.stderr()


class Stranger:
    """A process with a launch's lock, that says it is a QEMU of this UUID."""

    def __init__(self, state_dir: Path, vm_id: str, uuid: str, launch: int = 1) -> None:
        directory = state_dir / "vms" / vm_id / layout.launch_directory(launch)
        directory.mkdir(parents=True)
        argv = (sys.executable, "-c", SLEEPS, "-uuid", uuid)
        self.process: Process = spawn(directory, argv, "boot")
        self.pid = self.process.identity.pid
        while b"ready" not in (directory / layout.STDERR_LOG).read_bytes():
            os.sched_yield()

    def is_alive(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def end(self) -> None:
        self.process.send(ProcessSignal.KILL)
        os.waitpid(self.pid, 0)
        self.process.close()


@pytest.fixture
def strangers(daemon: Daemon) -> Iterator[dict[str, Stranger]]:
    trio.run(write, daemon.state_dir / "log", 0, "stopped", "failed")
    made = {
        "ours": Stranger(daemon.state_dir, "stopped", launch_uuid("stopped", 1)),
        "odd": Stranger(daemon.state_dir, "failed", STRANGERS_UUID),
        "later": Stranger(daemon.state_dir, "stopped", launch_uuid("stopped", 2), launch=2),
        "unknown": Stranger(daemon.state_dir, "never-heard-of", launch_uuid("never-heard-of", 1)),
    }
    yield made
    for stranger in made.values():
        stranger.end()


@pytest.mark.fault("pid-reused", "orphan-after-spawn")
def test_processes_without_a_vm_are_told_and_only_a_launch_of_ours_is_ended(
    daemon: Daemon, strangers: dict[str, Stranger]
) -> None:
    with running(daemon):
        found = host_events(daemon, "orphan-found", count=len(strangers))
        ended = host_events(daemon, "orphan-ended", count=1)
        told = daemon.run("host")
        assert f"process {strangers['odd'].pid} (launch 1 of failed), stranger" in told
        assert f"process {strangers['ours'].pid} " not in told
        assert len(daemon.json("host")["orphans"]) == 3
        daemon.end()
    verdicts = {event["pid"]: event["verdict"] for event in found}
    assert verdicts == {
        strangers["ours"].pid: "ours",
        strangers["odd"].pid: "stranger",
        strangers["later"].pid: "stranger",
        strangers["unknown"].pid: "stranger",
    }
    expected = {"pid": strangers["ours"].pid, "vm_id": "stopped", "launch": 1, "signal": "SIGTERM"}
    assert ended == [expected]
    assert not strangers["ours"].is_alive()
    assert strangers["odd"].is_alive()
    assert strangers["later"].is_alive(), "the log knows no such launch, so none that is over"
    assert strangers["unknown"].is_alive()
    for stranger in strangers.values():
        assert f"process {stranger.pid} looks like launch " in daemon.stderr()


@pytest.fixture
def hidden() -> Iterator[ProcessIdentity]:
    """A process that has let go of everything of its launch, its command line too."""
    with subprocess.Popen(("/bin/sleep", "600")) as process:
        yield ProcessIdentity(process.pid, start_ticks(process.pid), read_facts().boot_id)
        assert process.poll() is None, "it was ended"
        process.kill()


@pytest.mark.fault("runs-twice")
def test_a_qemu_that_hides_is_silent_and_not_launched_again(
    daemon: Daemon, hidden: ProcessIdentity
) -> None:
    trio.run(partial(write, process=hidden), daemon.state_dir / "log", 0, "computing")
    with running(daemon):
        lost = daemon.wait_for("computing", "vm.contact-lost.v1")
        shown = daemon.json("show", "computing")
        daemon.end()
    assert f"process {hidden.pid} is the one that was spawned" in lost["data"]["detail"]
    assert (shown["phase"], shown["launch"]) == ("running", 1)


@pytest.mark.fault("runs-twice")
def test_a_process_that_the_log_calls_over_is_told_when_it_lives(
    daemon: Daemon, hidden: ProcessIdentity
) -> None:
    trio.run(partial(write, process=hidden), daemon.state_dir / "log", 0, "stopped")
    with running(daemon):
        (found,) = host_events(daemon, "orphan-found", count=1)
        daemon.end()
    assert (found["pid"], found["vm_id"], found["launch"]) == (hidden.pid, "stopped", 1)
    assert found["verdict"] == "stranger"


@pytest.mark.fault("state-of-another-host")
def test_a_state_directory_from_another_host_is_served_with_its_vms_lost(daemon: Daemon) -> None:
    trio.run(write, daemon.state_dir / "log", 0, "computing")
    (daemon.state_dir / "node_id").write_text("0123456789abcdef another-machine\n")
    with running(daemon):
        ended = daemon.wait_for("computing", "vm.failed.v1")
        (began,) = host_events(daemon, "daemon-started")
        daemon.end()
    assert ended["data"]["outcome"] == "lost-by-reboot"
    assert "another host" in ended["data"]["detail"]
    assert began["moved_from"] == "0123456789abcdef"
    assert "was brought here from another host" in daemon.stderr()
    with running(daemon):
        assert [event["moved_from"] for event in host_events(daemon, "daemon-started")][1:] == [""]
        daemon.end()
    assert "brought here" not in daemon.stderr()


@pytest.mark.fault("log-from-the-future")
def test_a_log_from_the_future_is_served_and_time_goes_on_from_there(daemon: Daemon) -> None:
    trio.run(write, daemon.state_dir / "log", DAY_S, "computing", "stopped")
    with running(daemon):
        daemon.wait_for("computing", "vm.failed.v1")
        daemon.run("delete", "stopped")
        daemon.wait_for("stopped", "vm.deleted.v1")
        times = [event["time"] for event in daemon.events()]
        daemon.end()
    assert times == sorted(times)
    assert len(set(times[-4:])) > 1, "time does not stand still"
    assert "s behind the last event of the log" in daemon.stderr()
    daemon.run("log", "verify")


@pytest.mark.fault("one-blocks-all")
def test_a_vm_that_is_set_aside_is_left_alone(daemon: Daemon) -> None:
    trio.run(write, daemon.state_dir / "log", 0, "computing", "stopped")
    daemon.start("--set-aside", "computing", "--set-aside", "nosuch")
    assert "set this VM aside" in daemon.run("show", "computing", codes=(4,))
    assert daemon.json("host")["unattended"] == ["computing"]
    assert "there is no VM 'nosuch' to set aside" in daemon.stderr()
    assert daemon.json("show", "stopped")["phase"] == "stopped"
    daemon.end()
    with running(daemon):
        daemon.wait_for("computing", "vm.failed.v1")


def test_a_poisoned_handler_ends_the_daemon_with_a_last_word(daemon: Daemon) -> None:
    trio.run(write, daemon.state_dir / "log", 0, "computing", "stopped")
    plan = daemon.state_dir.parent / "plan.toml"
    plan.write_text(
        "".join(f'[[crash_actor_at_effect]]\neffect = "Reattach"\nnth = {n}\n' for n in range(1, 5))
    )
    code, said = daemon.serve_and_fail("--fault-plan", str(plan))
    assert code == 7
    last = said.strip().splitlines()[-1]
    for word in ("VM computing crashed", "at position", "InjectedBug", "lives on", "--set-aside"):
        assert word in last
    with running(daemon):
        daemon.wait_for("computing", "vm.failed.v1")


@pytest.mark.fault("one-blocks-all")
def test_what_cannot_be_removed_keeps_its_vm_and_harms_nobody(daemon: Daemon) -> None:
    trio.run(write, daemon.state_dir / "log", 0, "stopped", "failed")
    in_its_place = daemon.state_dir / "vms" / "stopped"
    in_its_place.parent.mkdir(mode=0o700)
    in_its_place.touch()
    with running(daemon):
        assert "cannot be read: Not a directory" in daemon.run("console", "stopped", codes=(4,))
        assert "cannot be read: Not a directory" in daemon.run("transcript", "stopped", codes=(4,))
        daemon.run("delete", "stopped")
        failed = daemon.wait_for("stopped", "vm.removal-failed.v1")
        assert failed["data"]["detail"] == f"{in_its_place}: Not a directory"
        shown = daemon.json("show", "stopped")
        assert shown["phase"] == "stopped"
        assert shown["detail"].endswith(f"cannot be removed: {in_its_place}: Not a directory")
        assert daemon.json("show", "failed")["phase"] == "failed"
        daemon.end()
    with running(daemon):
        assert daemon.json("show", "stopped")["phase"] == "stopped"
        in_its_place.unlink()
        daemon.wait_for("stopped", "vm.deleted.v1")
        assert len(daemon.events("--vm", "stopped", "--type", "vm.removal-failed.v1")) == 1
        daemon.end()
