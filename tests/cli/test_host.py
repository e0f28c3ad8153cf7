"""`host`: what an operator sees of this life of the daemon."""

import json

from chronovisor_api import v1

from tests.cli.conftest import Run
from tests.cli.peer import START, Peer


def record(peer: Peer, kind: str, **data: object) -> None:
    log = peer.supervisor.log
    log.append(
        v1.Event(
            position=len(log) + 1,
            stream="host",
            type=f"host.{kind}.v1",
            time=START,
            data_json=json.dumps(data),
        )
    )


def orphan(pid: int, verdict: str) -> dict[str, object]:
    evidence = ["runs as user 0"]
    return {"pid": pid, "vm_id": "iris", "launch": 2, "verdict": verdict, "evidence": evidence}


def test_it_tells_of_this_life_only_and_of_what_is_left_to_do(peer: Peer, run: Run) -> None:
    record(peer, "daemon-started", version="1", pid=1, qemu="/old")
    record(peer, "orphan-found", **orphan(11, "stranger"))
    record(
        peer,
        "daemon-started",
        version="2",
        pid=2,
        qemu="/usr/bin/qemu",
        moved_from="abc",
        unattended=["aside", "unreadable"],
    )
    record(peer, "vms-recovered", adopted=3, silent=1, gone=2, took_ms=80)
    record(peer, "orphan-found", **orphan(12, "ours"))
    record(peer, "orphan-found", **orphan(13, "stranger"))
    record(peer, "orphan-ended", pid=12, vm_id="iris", launch=2, signal="SIGTERM")
    peer.supervisor.add(v1.Manifest(name="well"))
    vm_id = peer.supervisor.add(v1.Manifest(name="wedged")).vm_id
    peer.supervisor.vms[vm_id].contact = v1.Contact(
        state=v1.ContactState.SILENT, silent_since=START
    )

    told = run("host").stdout
    assert "version 2, process 2" in told
    assert "3 attended to again, 1 silent, 2 gone" in told
    assert "process 13 (launch 2 of iris), stranger: runs as user 0" in told
    assert "process 11" not in told
    assert "process 12" not in told
    assert "abc" in told
    assert "aside unreadable" in told

    as_json = json.loads(run("host", "--json").stdout)
    assert as_json["silent"] == [vm_id]
    assert as_json["unattended"] == ["aside", "unreadable"]
    assert [each["pid"] for each in as_json["orphans"]] == [13]


def test_a_log_without_a_start_is_shown_all_the_same(peer: Peer, run: Run) -> None:
    assert run("host").exit_code == 0
    assert json.loads(run("host", "--json").stdout)["daemon"] is None
