"""What the flight recorder kept of a real launch: during it, after it, and after the VM is gone."""

import json

import pytest

from tests.e2e.conftest import Manifests
from tests.e2e.daemon_process import Daemon

pytestmark = pytest.mark.guest


def test_a_transcript_is_kept_after_the_end_and_goes_with_the_vm(
    daemon: Daemon, manifests: Manifests
) -> None:
    vm_id = daemon.submit(manifests.shell("echo private words"), "--wait")["vm_id"]
    header, *entries = [
        json.loads(line) for line in daemon.run("transcript", vm_id, "--json").splitlines()
    ]
    assert header == {"transcript": 1, "vm_id": vm_id, "launch": 1}
    orders = [
        entry["message"]["execute"]
        for entry in entries
        if entry.get("channel") == "qmp" and entry["direction"] == "sent"
    ]
    questions = {"query-status"}  # asked whenever nothing was said for a while
    assert [order for order in orders if order not in questions] == [
        "qmp_capabilities",
        "query-uuid",
        "cont",
        "quit",
    ]
    agent = [entry["message"]["type"] for entry in entries if _is_from_agent(entry)]
    assert [agent[0], agent[-1]] == ["ready", "finished"]
    assert "private words" not in json.dumps(entries)
    assert entries[0]["event"] == "vm.submitted.v1"
    assert entries[-1]["event"] == "vm.stopped.v1"

    daemon.run("delete", vm_id)
    daemon.wait_for(vm_id, "vm.deleted.v1")
    assert "there is no VM" in daemon.run("transcript", vm_id, codes=(5,))
    assert list(daemon.state_dir.rglob("transcript*")) == []


def _is_from_agent(entry: dict[str, object]) -> bool:
    return (entry.get("channel"), entry.get("direction")) == ("agent", "received")
