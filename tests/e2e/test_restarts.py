"""A real daemon on logs that were there before: snapshots, archives, words it does not know."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from eventlog import NewEvent, open_log
from supervisor.journal import vm_stream
from tests.e2e.daemon_process import Daemon, running
from tests.test_replay import lives


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that needs no guest, and a log of two VMs that have ended and one that is gone."""
    with tempfile.TemporaryDirectory(prefix="cv-") as directory:
        made = Daemon(Path(directory) / "state", Path(directory) / "no-catalogue")
        trio.run(write, made.state_dir / "log", "stopped", "failed", "deleted")
        yield made
        made.end_for_good()


async def write(directory: Path, *stories: str) -> None:
    async with open_log(directory) as log:
        for record in lives(*stories):
            await log.append(
                [NewEvent(record.stream, record.type, record.payload, record.event_id)]
            )


async def teleport(directory: Path) -> None:
    async with open_log(directory) as log:
        await log.append([NewEvent(vm_stream("failed"), "vm.teleported.v1", b"\x80", "id")])


def replayed(daemon: Daemon, *options: str) -> str:
    found: str = daemon.json("log", "replay", *options)["state_hash"]
    return found


def test_a_restart_from_a_snapshot_serves_what_the_whole_log_says(daemon: Daemon) -> None:
    before = replayed(daemon)
    for _ in range(2):
        with running(daemon):
            assert daemon.ready["vms"] == 2
            assert daemon.json("show", "stopped")["phase"] == "stopped"
            daemon.end()
        assert "is not used" not in daemon.stderr()
        assert replayed(daemon) == replayed(daemon, "--snapshot") == before


@pytest.mark.fault("one-blocks-all")
def test_a_damaged_snapshot_costs_a_warning(daemon: Daemon) -> None:
    with running(daemon):
        daemon.end()
    (daemon.state_dir / "snapshot").write_bytes(b"CVSNAP1\n" + bytes(100))
    with running(daemon):
        assert daemon.ready["vms"] == 2
        daemon.end()
    assert "snapshot is not used: it is damaged" in daemon.stderr()


def test_a_daemon_goes_on_after_its_log_was_archived(daemon: Daemon) -> None:
    with running(daemon):
        daemon.end()
    before = replayed(daemon)
    daemon.run("log", "archive", "--keep", "1", "--drop")
    for snapshot in ("there", "gone"):
        if snapshot == "gone":
            (daemon.state_dir / "snapshot").unlink()
        with running(daemon):
            assert daemon.ready["vms"] == 2
            assert daemon.events()[0]["position"] > 1
            refused = daemon.run("events", "--after", "1", "--json", codes=(4,))
            assert "were archived" in refused
            daemon.end()
        assert replayed(daemon) == before


def test_archiving_beside_a_daemon_is_refused(daemon: Daemon) -> None:
    with running(daemon):
        refusal = daemon.run("log", "archive", "--keep", "1", "--drop", codes=(7,))
    assert "is being written by process" in refusal


@pytest.mark.fault("one-blocks-all")
def test_an_event_of_a_newer_version_stops_its_vm_and_no_other(daemon: Daemon) -> None:
    trio.run(teleport, daemon.state_dir / "log")
    with running(daemon):
        assert daemon.ready["vms"] == 1
        assert "'vm.teleported.v1' at position" in daemon.run("show", "failed", codes=(4,))
        assert daemon.json("show", "stopped")["phase"] == "stopped"
        listed = json.loads(daemon.run("list", "--json"))["vms"]
        assert [each["vm_id"] for each in listed] == ["stopped"]
        daemon.run("delete", "stopped")
        assert daemon.end() == 0
    assert "VM failed is not attended to" in daemon.stderr()
