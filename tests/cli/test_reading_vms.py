"""`list`, `show`, `events`: what is printed for people and for programs."""

import json
import signal
from pathlib import Path

import pytest
from chronovisor_api import v1

from tests.cli.conftest import HANG_S, Run, spawn
from tests.cli.peer import MemorySupervisor, Peer, serving


def filled(peer: Peer, *names: str) -> None:
    for name in names:
        peer.supervisor.add(v1.Manifest(name=name, labels={"team": name}))


def test_a_list_has_every_page_and_fits_80_columns(peer: Peer, run: Run) -> None:
    filled(peer, "a", "b" * 128, "c", "failing", "e")
    lines = run("list", columns=80).stdout.splitlines()

    assert lines[0].split() == ["VM", "NAME", "PHASE", "OUTCOME", "AGE"]
    assert [line.split()[0] for line in lines[1:]] == [f"vm-{n}" for n in range(1, 6)]
    assert max(map(len, lines)) <= 80


def test_a_list_in_json_is_one_object(peer: Peer, run: Run) -> None:
    filled(peer, "a", "failing", "c")
    vms = json.loads(run("list", "--json").stdout)["vms"]

    assert [(vm["vm_id"], vm["phase"]) for vm in vms] == [
        ("vm-1", "stopped"),
        ("vm-2", "failed"),
        ("vm-3", "stopped"),
    ]
    assert vms[0]["created_at"] == "2026-01-02T03:04:05.000000Z"


def test_a_list_is_narrowed_by_labels_and_phases(peer: Peer, run: Run) -> None:
    filled(peer, "a", "failing", "c")

    labelled = json.loads(run("list", "--label", "team=c", "--json").stdout)["vms"]
    failed = json.loads(run("list", "--phase", "failed", "--json").stdout)["vms"]

    assert [vm["vm_id"] for vm in labelled] == ["vm-3"]
    assert [vm["vm_id"] for vm in failed] == ["vm-2"]


def test_a_list_is_not_narrowed_to_deleted_vms_because_it_has_none(run: Run) -> None:
    result = run("list", "--phase", "deleted")

    assert result.exit_code == 2
    assert "'deleted' is not one of" in result.stderr
    assert "in the log only" in run("list", "--help").stdout


def test_names_are_text_and_never_markup_or_control_sequences(peer: Peer, run: Run) -> None:
    filled(peer, "[bold]x[/bold] \x1b[31m")

    assert "[bold]x[/bold] \ufffd[31m" in run("list").stdout


def test_show_tells_the_facts_of_a_vm(peer: Peer, run: Run) -> None:
    filled(peer, "failing")
    output = run("show", "vm-1", columns=80).stdout

    assert "computation-failed" in output
    assert "team=failing" in output
    assert max(map(len, output.splitlines())) <= 80


def test_a_timeline_counts_from_the_submission(peer: Peer, run: Run) -> None:
    filled(peer, "other", "iris")
    lines = run("show", "vm-2", "--timeline").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["0.000", "1.000", "1.500", "2.000"]
    assert lines[2].split("s  ")[1].split() == ["progress-reported", "50%", "half"]


def test_a_timeline_in_json_is_the_vm_with_its_events(peer: Peer, run: Run) -> None:
    filled(peer, "iris")
    answer = json.loads(run("show", "vm-1", "--timeline", "--json").stdout)

    assert answer["vm_id"] == "vm-1"
    assert [event["version"] for event in answer["events"]] == [1, 1, 1, 1]


def test_events_are_printed_one_a_line_with_the_position(peer: Peer, run: Run) -> None:
    filled(peer, "iris")
    lines = run("events").stdout.splitlines()

    assert [line.split()[2] for line in lines] == ["1", "2", "3", "4"]
    assert lines[3].split()[3:] == ["vm-1", "stopped", "ended,", "completed"]


@pytest.mark.parametrize("columns", [30, 60, 80, 100, 200])
@pytest.mark.parametrize("command", [("events",), ("show", "vm-1", "--timeline")])
def test_sentences_are_folded_between_words_where_a_terminal_is_narrow(
    peer: Peer, run: Run, command: tuple[str, ...], columns: int
) -> None:
    filled(peer, "iris")
    data = '{"outcome":"completed","detail":"the computation finished, with exit code 0"}'
    peer.supervisor.record(peer.supervisor.vms["vm-1"], "vm.stopped.v1", data, 3)
    output = run(*command, columns=columns).stdout
    sentences = [line for line in output.splitlines() if not line.lstrip()[0].isdigit()]

    assert max(map(len, sentences), default=0) <= columns
    told = " ".join(output.split())
    assert "ended, completed: the computation finished, with exit code 0" in told


def test_a_pipe_gets_every_value_on_one_line(peer: Peer) -> None:
    filled(peer, "b" * 128)
    with spawn("list", "--state-dir", str(peer.state_dir)) as process:
        stdout, _ = process.communicate(timeout=HANG_S)

    assert "b" * 128 in stdout
    assert [line for line in stdout.splitlines() if line != line.rstrip()] == []


def test_events_in_json_hold_the_data_as_an_object(peer: Peer, run: Run) -> None:
    filled(peer, "iris")
    events = [json.loads(line) for line in run("events", "--json").stdout.splitlines()]

    assert [event["position"] for event in events] == [1, 2, 3, 4]
    assert events[2]["data"] == {"fraction": 0.5, "message": "half"}
    assert (events[2]["log_id"], events[2]["type"]) == ("log-1", "vm.progress-reported.v1")


def test_events_are_narrowed_by_position_vm_and_type(peer: Peer, run: Run) -> None:
    filled(peer, "a", "b")

    def positions(*arguments: str) -> list[int]:
        lines = run("events", "--json", *arguments).stdout.splitlines()
        return [json.loads(line)["position"] for line in lines]

    assert positions("--after", "6") == [7, 8]
    assert positions("--vm", "vm-2") == [5, 6, 7, 8]
    assert positions("--type", "stopped", "--type", "vm.submitted.v1") == [1, 4, 5, 8]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("stoped", "the nearest is 'stopped'"),
        ("vm.stoped.v1", "the nearest is 'vm.stopped.v1'"),
        ("vm.guest-started.v2", "the nearest is 'vm.guest-started.v1'"),
        ("foo.bar", "the nearest is '"),
    ],
)
def test_a_type_that_does_not_exist_is_refused_with_the_nearest(
    run: Run, written: str, hint: str
) -> None:
    result = run("events", "--type", written)

    assert result.exit_code == 2
    assert f"there is no type '{written}'; {hint}" in " ".join(result.stderr.split())


def test_a_reader_that_goes_away_ends_a_stream_silently(peer: Peer) -> None:
    filled(peer, *["iris"] * 2000)
    with spawn("events", "--json", "--state-dir", str(peer.state_dir)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["position"] == 1
        process.stdout.close()

        assert process.stderr.read() == ""
        assert process.wait(HANG_S) == 141


@pytest.mark.fault("subscriber-loses-events")
def test_a_follower_outlives_its_daemon_and_misses_nothing(state_dir: Path) -> None:
    with serving(state_dir) as first:
        filled(first, "a")
        process = spawn("events", "--follow", "--json", "--state-dir", str(state_dir))
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline())["position"] for _ in range(4)]
    returned = MemorySupervisor()
    for name in ("a", "b"):
        returned.add(v1.Manifest(name=name))
    with serving(state_dir, supervisor=returned), process:
        after = [json.loads(process.stdout.readline())["position"] for _ in range(4)]
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 130

    assert (before, after) == ([1, 2, 3, 4], [5, 6, 7, 8])


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("start", "vm-1 is stopped\n"),
        ("kill", "vm-1 is stopped\n"),
        ("stop", "vm-1 is stopped\n"),
        ("pause", "a pause of vm-1 is ordered\n"),
        ("resume", "a resumption of vm-1 is ordered\n"),
        ("reset", "a reset of vm-1 is ordered\n"),
    ],
)
def test_an_order_reaches_the_vm_and_what_holds_already_is_told(
    peer: Peer, run: Run, order: str, told: str
) -> None:
    filled(peer, "iris")

    assert run(order, "vm-1").stdout == told
    assert json.loads(run(order, "vm-1", "--json").stdout)["vm_id"] == "vm-1"
    assert {type(one).__name__ for one in peer.supervisor.orders} == {f"{order.title()}VmRequest"}


def test_a_deletion_is_told_as_an_order(peer: Peer, run: Run) -> None:
    filled(peer, "iris")

    assert run("delete", "vm-1").stdout == "vm-1 is being deleted; its history stays in the log\n"
    assert peer.supervisor.orders == [v1.DeleteVmRequest(vm_id="vm-1")]


def test_a_grace_is_given_as_people_write_it(peer: Peer, run: Run) -> None:
    filled(peer, "iris")
    run("stop", "vm-1", "--grace", "1m30s")
    run("stop", "vm-1")
    wrong = run("stop", "vm-1", "--grace", "10")
    long = run("stop", "vm-1", "--grace", "11m")

    assert peer.supervisor.orders == [
        v1.StopVmRequest(vm_id="vm-1", grace_ms=90_000),
        v1.StopVmRequest(vm_id="vm-1"),
    ]
    assert wrong.exit_code == 2
    assert "got '10'; it takes a duration" in wrong.stderr
    assert long.exit_code == 2
    assert "got '11m'; it takes 0 s to 10 m" in long.stderr
