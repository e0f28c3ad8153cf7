"""More computations than may run: whose turn comes when, whoever dies in between."""

import signal
from itertools import pairwise

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon, Json, qemu_pids, running

pytestmark = pytest.mark.guest

ONE = ("--max-running", "1")


def shown(daemon: Daemon, vm_id: str) -> tuple[str, int | None]:
    vm = daemon.json("show", vm_id)
    return vm["phase"], vm["queue_position"]


def submit_sleepers(daemon: Daemon, manifests: Manifests, *vm_ids: str) -> None:
    for vm_id in vm_ids:
        daemon.submit(manifests.shell("exec sleep 1000"), "--vm-id", vm_id)
        event = "vm.launch-intended.v1" if vm_id == vm_ids[0] else "vm.queued.v1"
        daemon.wait_for(vm_id, event)


def test_turns_come_in_the_order_of_submission_although_the_daemon_is_killed(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with running(stopped_daemon, *ONE) as daemon:
        submit_sleepers(daemon, manifests, "c-first", "b-second", "a-third")
        daemon.wait_for("c-first", "vm.computation-started.v1")
        before = qemu_pids(daemon.state_dir)
        daemon.end(signal.SIGKILL)
        daemon.start(*ONE)
        daemon.wait_for("c-first", "vm.adopted.v1")
        assert qemu_pids(daemon.state_dir) == before
        assert shown(daemon, "b-second") == ("queued", 1)
        assert shown(daemon, "a-third") == ("queued", 2)
        daemon.submit(manifests.shell("true"), "--vm-id", "0-newcomer")
        daemon.wait_for("0-newcomer", "vm.queued.v1")
        assert shown(daemon, "0-newcomer") == ("queued", 3)
        assert "queue position 3" in daemon.run("list")

        for vm_id, following in pairwise(("c-first", "b-second", "a-third")):
            daemon.run("kill", vm_id)
            daemon.wait_for(following, "vm.computation-started.v1")
            assert len(qemu_pids(daemon.state_dir)) == 1
        daemon.run("kill", "a-third")
        assert daemon.wait_for("0-newcomer", "vm.stopped.v1")["data"]["outcome"] == "completed"
        launched = daemon.events("--type", "vm.launch-intended.v1")
        assert [event["stream"] for event in launched] == [
            "vm/c-first",
            "vm/b-second",
            "vm/a-third",
            "vm/0-newcomer",
        ]


def test_who_waits_may_be_stopped_killed_and_deleted(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with running(stopped_daemon, *ONE) as daemon:
        submit_sleepers(daemon, manifests, "first", "stopped", "killed", "deleted", "last")
        daemon.run("stop", "stopped")
        daemon.run("kill", "killed")
        daemon.run("delete", "deleted")
        assert shown(daemon, "stopped") == ("stopped", None)
        assert shown(daemon, "killed") == ("stopped", None)
        daemon.wait_for("deleted", "vm.deleted.v1")
        assert shown(daemon, "last") == ("queued", 1)
        daemon.run("kill", "first")
        daemon.wait_for("last", "vm.guest-started.v1")


def test_where_there_is_room_nothing_of_a_queue_is_in_the_log(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm = daemon.submit(manifests.shell("true"), "--wait")
    types = [event["type"] for event in daemon.events("--vm", vm["vm_id"])]
    assert types[:2] == ["vm.submitted.v1", "vm.launch-intended.v1"]


@pytest.mark.fault("key-freezes-failure")
def test_limits_of_vms_are_told_in_a_sentence_and_spend_no_key(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    manifest = manifests.shell("exec sleep 1000")
    with running(stopped_daemon, *ONE, "--max-vms-per-principal", "1") as daemon:
        daemon.submit(manifest, "--vm-id", "only")
        refusal = daemon.run("submit", manifest, "--idempotency-key", "more", "--json", codes=(4,))
        assert "as many VMs as one principal may have, 1; delete some of them" in refusal
        daemon.end()
        daemon.start(*ONE, "--max-vms", "1")
        refusal = daemon.run("submit", manifest, "--idempotency-key", "more", "--json", codes=(4,))
        assert "there are as many VMs as may be, 1; delete some that have ended" in refusal
        daemon.run("kill", "only")
        daemon.wait_for("only", "vm.stopped.v1")
        daemon.run("delete", "only")
        daemon.wait_for("only", "vm.deleted.v1")
        assert daemon.submit(manifest, "--idempotency-key", "more")["vm_id"] != "only"


def test_a_key_whose_vm_was_deleted_is_answered_for_what_it_is(
    daemon: Daemon, manifests: Manifests
) -> None:
    manifest = manifests.shell("true")
    vm: Json = daemon.submit(manifest, "--wait", "--idempotency-key", "nightly")
    daemon.run("delete", vm["vm_id"])
    daemon.wait_for(vm["vm_id"], "vm.deleted.v1")
    refusal = daemon.run("submit", manifest, "--idempotency-key", "nightly", "--json", codes=(4,))
    assert f"was taken before, and its VM {vm['vm_id']!r} was deleted" in refusal
    assert "submit with a new key" in refusal


def test_who_waits_is_not_counted_among_the_vms_that_are_left_running(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with running(stopped_daemon, *ONE) as daemon:
        submit_sleepers(daemon, manifests, "first", "second")
        daemon.wait_for("first", "vm.guest-started.v1")
        daemon.end()
        daemon.start(*ONE)
        (stopped,) = daemon.events("--type", "host.daemon-stopped.v1")
        assert stopped["data"]["vms_left_running"] == 1


def test_who_is_set_aside_keeps_its_slot_and_takes_no_turn(
    stopped_daemon: Daemon, manifests: Manifests
) -> None:
    with running(stopped_daemon, *ONE) as daemon:
        submit_sleepers(daemon, manifests, "first", "second", "third")
        daemon.wait_for("first", "vm.guest-started.v1")
        daemon.end()
        daemon.start(*ONE, "--set-aside", "first", "--set-aside", "second")
        assert shown(daemon, "third") == ("queued", 1)
        assert len(qemu_pids(daemon.state_dir)) == 1
        daemon.end()
        daemon.start(*ONE, "--set-aside", "second")
        daemon.run("kill", "first")
        daemon.wait_for("third", "vm.guest-started.v1")
