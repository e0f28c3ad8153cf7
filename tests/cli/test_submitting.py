"""`submit`: uploads, the answer, waiting, following, retrying."""

import hashlib
import json
import os
import pty
from pathlib import Path

import pytest
from click.testing import CliRunner
from grpclib import Status

from supervisor.cli.program import cli
from tests.cli.conftest import HANG_S, Run, shown, spawn
from tests.cli.peer import RESULT, Peer, serving


def test_files_are_uploaded_and_the_manifest_names_their_digests(
    peer: Peer, run: Run, iris: Path
) -> None:
    assert run("submit", str(iris)).exit_code == 0

    (submission,) = peer.supervisor.submissions
    assert submission.manifest is not None
    assert submission.manifest.algorithm is not None
    program = (iris.parent / "iris.py").read_bytes()
    assert submission.manifest.algorithm.sha256 == hashlib.sha256(program).hexdigest()
    assert peer.supervisor.artifacts[submission.manifest.algorithm.sha256] == program
    assert len(peer.supervisor.artifacts) == 2


def test_stdout_is_the_id_alone(peer: Peer, run: Run, iris: Path) -> None:
    result = run("submit", str(iris), "--vm-id", "iris-7")

    assert result.stdout == "iris-7\n"
    assert "accepted; watch it with `chronovisor events --vm iris-7 --follow`" in result.stderr


def test_waiting_with_json_prints_one_object(peer: Peer, run: Run, iris: Path) -> None:
    result = run("submit", str(iris), "--wait", "--json")

    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["vm_id"] == "vm-1"
    assert (answer["phase"], answer["outcome"], answer["exit_code"]) == ("stopped", "completed", 0)
    assert answer["result"] == {"sha256": hashlib.sha256(RESULT).hexdigest(), "size": len(RESULT)}


def test_a_computation_that_fails_exits_1(peer: Peer, run: Run, iris: Path) -> None:
    iris.write_text(iris.read_text().replace('"iris"', '"failing"'))
    result = run("submit", str(iris), "--wait", "--json")

    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["outcome"], answer["exit_code"]) == ("computation-failed", 3)
    assert answer["result"] is None


def test_waiting_for_people_tells_the_steps_on_stderr_and_the_end_on_stdout(
    peer: Peer, run: Run, iris: Path
) -> None:
    result = run("submit", str(iris), "--wait")

    assert "vm-1: 50% half" in result.stderr
    assert "completed" in result.stdout
    assert "chronovisor result vm-1 -o vm-1.tar" in result.stderr


def test_on_a_terminal_a_bar_is_drawn_and_wiped(peer: Peer, iris: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = ("submit", str(iris), "--wait", "--json", "--state-dir", str(peer.state_dir))
    with spawn(*arguments, stderr=theirs) as process:
        os.close(theirs)
        drawn = shown(ours)
        stdout, _ = process.communicate(timeout=HANG_S)

    assert json.loads(stdout)["outcome"] == "completed"
    assert "━" in drawn
    assert "uploading iris.py" in drawn
    assert drawn.rstrip("\r\n").endswith("\x1b[2K")  # the last line was erased


def test_following_prints_the_events_and_then_a_summary(peer: Peer, run: Run, iris: Path) -> None:
    lines = run("submit", str(iris), "--follow").stdout.splitlines()

    assert "iris is submitted" in lines[0]
    assert lines[3].endswith("ended, completed")
    assert "completed" in "".join(lines[4:])


def test_following_with_json_ends_with_the_vm(peer: Peer, run: Run, iris: Path) -> None:
    lines = run("submit", str(iris), "--follow", "--json").stdout.splitlines()

    assert [json.loads(line)["type"] for line in lines[:-1]][-1] == "vm.stopped.v1"
    assert json.loads(lines[-1])["outcome"] == "completed"


def test_a_vm_that_was_started_again_is_followed_to_its_last_end(
    peer: Peer, run: Run, iris: Path
) -> None:
    iris.write_text(iris.read_text().replace('"iris"', '"twice"'))
    lines = run("submit", str(iris), "--follow", "--json").stdout.splitlines()

    types = [json.loads(line)["type"] for line in lines[:-1]]
    assert types[-3:] == ["vm.stopped.v1", "vm.start-ordered.v1", "vm.stopped.v1"]


def test_a_key_makes_two_submissions_one(peer: Peer, run: Run, iris: Path) -> None:
    first, second = (
        json.loads(run("submit", str(iris), "--idempotency-key", "k", "--json").stdout)
        for _ in range(2)
    )

    assert first["vm_id"] == second["vm_id"]
    assert (first["reused"], second["reused"]) == (False, True)


def test_without_a_key_every_submission_is_new(peer: Peer, run: Run, iris: Path) -> None:
    run("submit", str(iris))
    run("submit", str(iris))

    assert len({one.idempotency_key for one in peer.supervisor.submissions}) == 2


def test_a_broken_connection_is_tried_again_with_the_same_key(
    state_dir: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.toml"
    manifest.write_text(f'name = "n"\nalgorithm = {{sha256 = "{"0" * 64}"}}\n')
    with serving(state_dir, broken_connections=1) as peer:
        arguments = ["--state-dir", str(state_dir), "submit", str(manifest)]
        result = CliRunner().invoke(cli, [*arguments, "--idempotency-key", "k"])

    assert result.exit_code == 0, result.stderr
    assert [one.idempotency_key for one in peer.supervisor.submissions] == ["k"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name = "n"\nalgorithm = {path = "absent"}', "algorithm: "),
        ('name = "n"\nalgorithm = {path = "m.toml"}\nvm = {memory = "1"}', 'vm.memory: got "1"'),
        ('nmae = "n"', 'nmae: unknown field; did you mean "name"?'),
    ],
)
def test_a_wrong_manifest_exits_2_and_sends_nothing(
    peer: Peer, run: Run, tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)
    result = run("submit", str(file))

    assert result.exit_code == 2
    assert f"{file}: {complaint}" in result.stderr
    assert not peer.supervisor.artifacts


def test_an_upload_that_is_refused_half_way_tells_the_reason(peer: Peer, iris: Path) -> None:
    (iris.parent / "iris.csv").write_bytes(b"x" * (8 << 20))
    peer.supervisor.upload_limit = 1 << 20
    with spawn("submit", str(iris), "--state-dir", str(peer.state_dir)) as process:
        _, stderr = process.communicate(timeout=HANG_S)

    assert process.returncode == 4
    assert stderr.splitlines()[-1] == "Error: at most 1048576 bytes"
    assert not peer.supervisor.submissions


def test_what_the_daemon_says_is_shown(peer: Peer, run: Run, iris: Path) -> None:
    sentence = "the catalogue has no reference-kernel: run `chronovisor guest build`"
    peer.supervisor.refusal = (Status.FAILED_PRECONDITION, sentence)
    result = run("submit", str(iris))

    assert result.exit_code == 4
    assert result.stderr.splitlines()[-1] == f"Error: {sentence}"
