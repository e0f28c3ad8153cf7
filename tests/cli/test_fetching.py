"""`result` and `console`: whole files or none, and nothing of a guest's that moves a cursor."""

import hashlib
import json
import os
import pty
from pathlib import Path

import pytest
from chronovisor_api import v1

from tests.cli.conftest import HANG_S, Run, shown, spawn
from tests.cli.peer import CONSOLE, RESULT, Peer


@pytest.fixture(autouse=True)
def vm(peer: Peer) -> v1.Vm:
    return peer.supervisor.add(v1.Manifest(name="iris"))


def test_a_result_is_written_whole(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "r.tar"
    result = run("result", "vm-1", "-o", str(file), "--json")

    assert file.read_bytes() == RESULT
    assert json.loads(result.stdout) == {
        "vm_id": "vm-1",
        "file": str(file),
        "sha256": hashlib.sha256(RESULT).hexdigest(),
        "size": len(RESULT),
    }
    assert os.listdir(tmp_path) == ["r.tar"]


def test_an_existing_file_is_replaced_only_by_force(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "r.tar"
    file.write_text("precious")
    refused = run("result", "vm-1", "-o", str(file))

    assert refused.exit_code == 2
    assert "replace it with --force" in refused.stderr
    assert file.read_text() == "precious"

    assert run("result", "vm-1", "-o", str(file), "--force").exit_code == 0
    assert file.read_bytes() == RESULT


def test_a_result_that_was_garbled_leaves_no_file(peer: Peer, run: Run, tmp_path: Path) -> None:
    peer.supervisor.promised_sha256 = "0" * 64
    result = run("result", "vm-1", "-o", str(tmp_path / "r.tar"))

    assert result.exit_code == 7
    assert f"not {'0' * 64}: fetch it again" in result.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [
        ("absent/r.tar", 2, "there is no directory {here}/absent"),
        ("file/r.tar", 2, "there is no directory {here}/file"),
        (".", 2, "name a file in it"),
        ("r" * 255, 7, "file name too long"),
    ],
    ids=["directory-absent", "not-a-directory", "directory", "name-too-long"],
)
def test_a_place_that_cannot_be_written_is_named_as_it_was_given(
    run: Run, tmp_path: Path, name: str, code: int, complaint: str
) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / name
    result = run("result", "vm-1", "-o", str(output))

    assert result.exit_code == code
    assert result.stderr.startswith(f"Error: {output}")
    assert complaint.format(here=tmp_path) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_result_goes_to_stdout_byte_by_byte(run: Run) -> None:
    assert run("result", "vm-1", "-o", "-").stdout_bytes == RESULT
    assert run("result", "vm-1", "-o", "-", "--json").exit_code == 2


def test_a_result_of_an_unknown_vm_exits_5(run: Run, tmp_path: Path) -> None:
    result = run("result", "nobody", "-o", str(tmp_path / "r.tar"))

    assert (result.exit_code, os.listdir(tmp_path)) == (5, [])
    assert "there is no VM 'nobody'" in result.stderr


def test_a_console_is_piped_as_it_is(run: Run) -> None:
    assert run("console", "vm-1").stdout_bytes == CONSOLE
    assert run("console", "vm-1", "--guest-log").stdout == "printed by the guest\n"
    assert json.loads(run("console", "vm-1", "--json").stdout) == {"text": CONSOLE.decode()}


def test_a_console_cannot_steer_a_terminal(peer: Peer) -> None:
    ours, theirs = pty.openpty()
    with spawn("console", "vm-1", "--state-dir", str(peer.state_dir), stdout=theirs) as process:
        os.close(theirs)
        seen = shown(ours)
        assert process.wait(HANG_S) == 0

    assert "\x1b" not in seen
    assert "Linux version 6.1\r\n\ufffd[31mred\ufffd[0m" in seen
