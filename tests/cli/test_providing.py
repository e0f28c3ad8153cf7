"""`provide`: which input a file is, and what people are told."""

import hashlib
import json
from pathlib import Path

import pytest
from chronovisor_api import v1

from tests.cli.conftest import Run
from tests.cli.peer import Peer


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> Path:
    file = tmp_path / "iris.csv"
    file.write_bytes(b"5.1,3.5\n")
    return file


def awaiting(peer: Peer, *inputs: tuple[str, str]) -> None:
    vm = peer.supervisor.add(v1.Manifest(name="iris"), "iris-1")
    vm.phase = v1.Phase.AWAITING_INPUTS
    vm.inputs = [v1.Input(provider=provider, id=name) for provider, name in inputs]


def test_the_only_input_that_is_awaited_from_a_party_needs_no_name(
    peer: Peer, run: Run, data: Path
) -> None:
    awaiting(peer, ("Bob", "iris"), ("Alice", "algorithm"))
    answer = run("provide", "iris-1", str(data), "--provider", "Bob")
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert (answer.exit_code, answer.stdout) == (0, "")
    assert answer.stderr.endswith("iris-1 has iris of Bob; 1 still missing\n")
    assert peer.supervisor.artifacts == {digest: data.read_bytes()}
    assert peer.supervisor.orders == [v1.ProvideInputRequest("iris-1", "Bob", "iris", digest)]


def test_with_json_the_vm_is_printed(peer: Peer, run: Run, data: Path) -> None:
    awaiting(peer, ("Bob", "iris"), ("Bob", "more"))
    line = ("provide", "iris-1", str(data), "--provider", "Bob", "--id", "more", "--json")
    vm = json.loads(run(*line).stdout)
    assert [each["came"] is not None for each in vm["inputs"]] == [False, True]


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("Bob", "say with --id which of your inputs it is: iris, more"),
        ("Mallory", "iris-1 awaits no input of Mallory"),
    ],
)
def test_nothing_is_sent_where_it_is_not_clear_which_input_it_is(
    peer: Peer, run: Run, data: Path, provider: str, told: str
) -> None:
    awaiting(peer, ("Bob", "iris"), ("Bob", "more"))
    answer = run("provide", "iris-1", str(data), "--provider", provider)
    assert answer.exit_code == 2
    assert told in answer.stderr
    assert peer.supervisor.artifacts == {}


def test_a_file_that_is_not_there_is_told_before_anybody_is_asked(run: Run, tmp_path: Path) -> None:
    answer = run("provide", "iris-1", str(tmp_path / "absent"), "--provider", "Bob")
    assert answer.exit_code == 2
    assert "absent: no such file" in answer.stderr


def test_what_is_awaited_is_shown_and_counted(peer: Peer, run: Run, data: Path) -> None:
    awaiting(peer, ("Bob", "iris"), ("Alice", "algorithm"))
    run("provide", "iris-1", str(data), "--provider", "Bob")
    assert "Bob/iris (8 B), Alice/algorithm (awaited)" in run("show", "iris-1").stdout
    assert "1 of 2 inputs missing" in run("list").stdout
