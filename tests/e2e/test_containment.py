"""What a daemon keeps private, and what its QEMUs cannot take, told by real runs."""

import hashlib
import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

import pytest

from tests.e2e.awaited_word import AWAIT_WORD, give_word
from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon

pytestmark = pytest.mark.guest

PUBLIC = ("log/checkpoint", "log/tile", "node_id")
"""What auditors may be handed as it is. All of it lies in a private directory all the same."""
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS.fd")
SMALLEST_FILE_LIMIT = 64 * 1024
FLOOD = f"{AWAIT_WORD}; yes 'a line that nobody reads' | head -c 200000 >/dev/console; echo done"


@pytest.mark.fault("secret-exposed")
def test_nothing_in_a_state_directory_is_open_to_others(
    daemon: Daemon, manifests: Manifests
) -> None:
    running = daemon.submit(manifests.shell("exec sleep 1000"))["vm_id"]
    daemon.wait_for(running, "vm.computation-started.v1")
    assert daemon.submit(manifests.shell("echo done"), "--wait")["outcome"] == "completed"
    assert stat.S_IMODE(daemon.state_dir.stat().st_mode) == 0o700
    assert {found.st_uid for _, found in lying_in(daemon.state_dir / "vms")} == {os.geteuid()}
    open_to_others = {
        str(path.relative_to(daemon.state_dir)): stat.filemode(found.st_mode)
        for path, found in lying_in(daemon.state_dir)
        if found.st_mode & 0o077
        and not is_public(path, daemon.state_dir)
        and not is_artifact(path, found, daemon.state_dir)
    }
    assert open_to_others == {}


def lying_in(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All that lies there; the daemon works on, and may take a file away while we look."""
    for path in root.rglob("*"):
        with suppress(FileNotFoundError):
            yield path, path.lstat()


def is_public(path: Path, root: Path) -> bool:
    return any(path.is_relative_to(root / public) for public in PUBLIC)


def is_artifact(path: Path, found: os.stat_result, root: Path) -> bool:
    """Artifacts are read-only for everyone; nobody else reaches the directories they lie in."""
    return path.is_relative_to(root / "artifacts") and found.st_mode == stat.S_IFREG | 0o444


def test_show_tells_who_runs_qemu_and_what_bounds_it(daemon: Daemon, manifests: Manifests) -> None:
    vm_id = daemon.submit(manifests.shell("exec sleep 1000"))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    held = daemon.json("show", vm_id)["containment"]
    assert held["user"] != "root"
    assert held["limits"]["RLIMIT_CORE"] == "0"
    assert ("memory.max" in held["limits"]) is (held["cgroup"] is not None)
    assert f"QEMU runs as  {held['user']}\n" in daemon.run("show", vm_id)


def test_a_guest_that_floods_its_console_while_no_daemon_runs_fills_no_disk(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    daemon = stopped_daemon
    daemon.start()
    small = '[limits]\nresult_size = "4K"\nlog_size = "4K"\n'
    vm_id = daemon.submit(manifests.shell(FLOOD, small))["vm_id"]
    daemon.wait_for(vm_id, "vm.computation-started.v1")
    daemon.end(signal.SIGKILL)
    launch = daemon.state_dir / "vms" / vm_id / "launch-1"
    give_word(launch)
    while not (launch / "results.img").read_bytes().startswith(b"CHRONOVISOR-RESULT"):
        os.sched_yield()
    assert (launch / "console.log").stat().st_size == SMALLEST_FILE_LIMIT
    daemon.start()
    daemon.wait_for(vm_id, "vm.stopped.v1")
    assert daemon.json("show", vm_id)["outcome"] == "completed"


CLIENTS = 6
"""Descriptors for a connection and what it asks for; to start a QEMU takes some twenty."""


def room_for_clients(pid: int) -> int:
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in count() if number not in taken)
    return next(islice(free, CLIENTS, None))


def less_than_it_has(pid: int) -> int:
    (line,) = [row for row in status_of(pid) if row.startswith("VmData:")]
    return int(line.split()[1]) * 1024 - 30_000_000


def status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


@pytest.mark.fault("host-in-want")
@pytest.mark.parametrize(
    ("limit", "leave", "complaint"),
    [
        (resource.RLIMIT_NOFILE, room_for_clients, "Too many open files"),
        (resource.RLIMIT_DATA, less_than_it_has, "Cannot allocate memory"),
    ],
    ids=["descriptors", "memory"],
)
def test_a_daemon_in_want_fails_the_launch_and_lives_on(
    daemon: Daemon,
    manifests: Manifests,
    limit: int,
    leave: Callable[[int], int],
    complaint: str,
) -> None:
    manifest = manifests.shell("echo done")
    assert daemon.submit(manifest, "--wait")["outcome"] == "completed"
    soft, hard = resource.prlimit(daemon.pid, limit)
    resource.prlimit(daemon.pid, limit, (leave(daemon.pid), hard))
    vm = daemon.submit(manifest, "--wait", codes=(1,))
    resource.prlimit(daemon.pid, limit, (soft, hard))
    assert vm["outcome"] == "qemu-failed-to-start"
    assert complaint in vm["detail"]
    assert daemon.submit(manifest, "--wait")["outcome"] == "completed"
    assert "intact" in daemon.run("log", "verify")


@pytest.mark.skipif(not OVMF_CODE.exists(), reason="OVMF is not installed: apt-get install ovmf")
def test_a_vm_keeps_its_own_firmware_variables_over_its_launches(
    daemon: Daemon, manifests: Manifests
) -> None:
    firmware = f'firmware = {{path = "{OVMF_CODE}"}}\nfirmware_vars = {{path = "{OVMF_VARS}"}}\n'
    vm = daemon.submit(manifests.shell("echo done", firmware), "--wait")
    assert vm["outcome"] == "completed"
    own = daemon.state_dir / "vms" / vm["vm_id"] / "firmware-vars.fd"
    template, after_first = digest(OVMF_VARS), digest(own)
    assert after_first != template, "the firmware wrote its variables"
    daemon.run("start", vm["vm_id"])
    daemon.wait_for(vm["vm_id"], "vm.stopped.v1", count=2)
    intents = [e for e in daemon.events() if e["type"] == "vm.launch-intended.v1"]
    pinned = [intent["data"]["images"]["firmware_vars"]["sha256"] for intent in intents]
    assert pinned == [template, after_first]
    daemon.run("delete", vm["vm_id"])
    daemon.wait_for(vm["vm_id"], "vm.deleted.v1")
    assert not own.exists()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose")
def test_a_qemu_user_that_is_missing_keeps_the_daemon_from_starting(
    stopped_daemon: Daemon,
) -> None:
    code, said = stopped_daemon.serve_and_fail("--qemu-user", "no-such-user")
    assert code == 7
    assert "run: useradd --system" in said
    assert len(said.splitlines()) == 1
    assert list(stopped_daemon.state_dir.glob("*")) == []
