"""Keys, checkpoints, proofs, export and repair, as a user meets them."""

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from eventlog.checkpoint import open_checkpoint
from eventlog.errors import HistoryChanged
from eventlog.merkle import Frontier, leaf_hash
from eventlog.note import parse_verifier
from eventlog.publishing import publish
from tests.cli import logs
from tests.cli.conftest import Run
from tests.cli.peer import Peer

EVENTS = 300


@pytest.fixture
def log(state_dir: Path) -> Path:
    logs.write(state_dir, [f"id-{number}" for number in range(EVENTS)])
    logs.signer(state_dir)
    return state_dir / "log"


@pytest.fixture
def key(state_dir: Path, log: Path) -> str:
    return str(logs.signer(state_dir).verifier)


def test_the_key_is_printed_without_a_daemon(run: Run, key: str) -> None:
    assert run("log", "key").stdout == f"{key}\n"
    assert json.loads(run("log", "key", "--json").stdout)["key"] == key


def test_a_daemon_is_asked_for_key_and_checkpoint(run: Run, peer: Peer) -> None:
    assert run("log", "key").stdout == f"{peer.supervisor.verifier_key}\n"
    assert run("log", "checkpoint").stdout == peer.supervisor.checkpoint


def test_a_checkpoint_is_signed_and_printed_or_written(run: Run, key: str, tmp_path: Path) -> None:
    result = run("log", "checkpoint")
    signed = open_checkpoint(result.stdout.encode(), parse_verifier(key))
    assert signed.checkpoint.size == EVENTS
    file = tmp_path / "saved.txt"
    answer = json.loads(run("log", "checkpoint", "--json", "-o", str(file)).stdout)
    assert (answer["events"], answer["note"]) == (EVENTS, signed.note)
    assert file.read_text() == signed.note


def test_without_a_key_nothing_is_signed(run: Run, state_dir: Path, log: Path) -> None:
    (state_dir / "log.key").unlink()
    for command in ("key", "checkpoint"):
        result = run("log", command)
        assert result.exit_code == 5
        assert "there is no key" in result.stderr
    assert not (log / "checkpoint").exists()


def test_a_proof_is_checked_with_nothing_but_the_key(
    run: Run, state_dir: Path, key: str, tmp_path: Path
) -> None:
    file = tmp_path / "event.proof"
    made = json.loads(run("log", "prove", "257", "-o", str(file), "--json").stdout)
    assert (made["file"], made["position"], made["checkpoint"]["events"]) == (
        str(file),
        257,
        EVENTS,
    )
    for path in (state_dir / "log").rglob("*"):
        if path.is_file():
            path.unlink()
    (state_dir / "log.key").unlink()
    result = run("log", "check-proof", str(file), "--key", key)
    assert result.exit_code == 0, result.stderr
    assert "the guest's agent is ready" in result.stdout
    assert f"which was signed with {EVENTS} events" in result.stdout
    answer = json.loads(run("log", "check-proof", str(file), "--key", key, "--json").stdout)
    assert (answer["holds"], answer["event"]["position"]) == (True, 257)


def test_a_proof_of_which_a_byte_was_changed_does_not_hold(
    run: Run, key: str, tmp_path: Path
) -> None:
    proof = run("log", "prove", "9").stdout.encode()
    file = tmp_path / "event.proof"
    for at in range(0, len(proof), 97):
        damaged = bytearray(proof)
        damaged[at] ^= 1
        file.write_bytes(damaged)
        result = run("log", "check-proof", str(file), "--key", key, "--json")
        assert result.exit_code == 6
        assert json.loads(result.stdout)["holds"] is False
    file.write_bytes(proof)
    other = key.replace(key[-4:], "AAAA")
    assert run("log", "check-proof", str(file), "--key", other).exit_code == 2
    assert run("log", "check-proof", str(file)).exit_code == 2


def test_a_proof_to_an_older_checkpoint_and_between_two(
    run: Run, state_dir: Path, key: str, tmp_path: Path
) -> None:
    old, file = tmp_path / "old.txt", tmp_path / "a.proof"
    run("log", "checkpoint", "-o", str(old))
    logs.write(state_dir, ["more"] * 30)
    assert run("log", "prove", "3", "--checkpoint", str(old), "-o", str(file)).exit_code == 0
    assert f"{EVENTS} events" in run("log", "check-proof", str(file), "--key", key).stdout
    result = run("log", "prove", str(EVENTS + 1), "--checkpoint", str(old))
    assert result.exit_code == 5
    result = run("log", "prove-consistency", str(old), "-o", str(file), "--json")
    assert json.loads(result.stdout)["old"]["events"] == EVENTS
    answer = json.loads(run("log", "check-proof", str(file), "--key", key, "--json").stdout)
    assert (answer["old"]["events"], answer["new"]["events"]) == (EVENTS, EVENTS + 30)


def test_an_event_that_was_archived_is_proved_from_the_archive(
    run: Run, state_dir: Path, key: str, tmp_path: Path
) -> None:
    archive, file = tmp_path / "kept", tmp_path / "a.proof"
    last = logs.archive(state_dir, EVENTS - 20, archive)
    for position in (1, 5, last):
        result = run("log", "prove", str(position))
        assert (result.exit_code, result.stdout) == (7, "")
        assert f"event {position} was archived: name the directory" in result.stderr
        arguments = ("--archive", str(archive), "-o", str(file))
        assert run("log", "prove", str(position), *arguments).exit_code == 0
        shown = json.loads(run("log", "check-proof", str(file), "--key", key, "--json").stdout)
        assert (shown["holds"], shown["event"]["position"]) == (True, position)
    assert run("log", "prove", str(last + 1), *arguments).exit_code == 0
    (tmp_path / "none").mkdir()
    assert run("log", "prove", "5", "--archive", str(tmp_path / "none")).exit_code == 7


def test_no_proof_is_made_for_a_history_that_was_rewritten(
    run: Run, state_dir: Path, key: str, tmp_path: Path
) -> None:
    old = tmp_path / "old.txt"
    run("log", "checkpoint", "-o", str(old))
    logs.rewrite(state_dir, "id-7", "forged")
    result = run("log", "prove-consistency", str(old))
    assert result.exit_code == 6
    assert "the log was rewritten" in result.stderr


def test_an_export_is_a_log_that_others_can_check(run: Run, key: str, tmp_path: Path) -> None:
    target = tmp_path / "published"
    assert run("log", "export", str(target)).exit_code == 0
    signed = open_checkpoint((target / "checkpoint").read_bytes(), parse_verifier(key))
    lines = [json.loads(line) for line in (target / "events.ndjson").read_text().splitlines()]
    raws = [base64.b64decode(line["raw"]) for line in lines]
    frontier = Frontier()
    frontier.extend([leaf_hash(raw) for raw in raws])
    assert (len(raws), frontier.root) == (EVENTS, signed.checkpoint.root)
    assert [msgspec.msgpack.decode(raw)[0] for raw in raws] == list(range(1, EVENTS + 1))
    assert bundled(target) == raws
    level_0 = (target / "tile/0/000").read_bytes() + (target / "tile/0/001.p/44").read_bytes()
    assert level_0 == b"".join(hashlib.sha256(b"\0" + raw).digest() for raw in raws)
    assert (target / "key.pub").read_text() == f"{key}\n"


def bundled(target: Path) -> list[bytes]:
    data = (target / "tile/entries/000").read_bytes()
    data += (target / "tile/entries/001.p/44").read_bytes()
    entries = []
    while data:
        size = int.from_bytes(data[:2], "big")
        entries.append(data[2 : 2 + size])
        data = data[2 + size :]
    return entries


def test_an_export_goes_into_an_empty_directory_only(run: Run, log: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = run("log", "export", str(tmp_path))
    assert result.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_export_of_a_log_whose_beginning_was_archived_is_refused_first(
    run: Run, state_dir: Path, log: Path, tmp_path: Path
) -> None:
    last = logs.archive(state_dir, 100, tmp_path / "kept")
    target = tmp_path / "published"
    result = run("log", "export", str(target))
    assert result.exit_code == 7
    assert f"events 1 to {last} were archived" in result.stderr
    assert not target.exists()
    for segment in (tmp_path / "kept").iterdir():
        shutil.copy2(segment, log)
    assert run("log", "export", str(target)).exit_code == 0


def test_events_that_were_not_signed_are_not_published(
    run: Run, state_dir: Path, key: str, tmp_path: Path
) -> None:
    """A daemon that signed another history would be one way to it; a forged log is another."""
    signed = open_checkpoint(run("log", "checkpoint").stdout.encode(), parse_verifier(key))
    logs.rewrite(state_dir, "id-7", "forged")
    target = tmp_path / "published"
    target.mkdir()
    with pytest.raises(HistoryChanged):
        list(publish(state_dir / "log", signed, target))
    assert not (target / "checkpoint").exists()


def tear(state_dir: Path) -> Path:
    """Leave the log as a power cut does: the last frame lost all but its first sector."""
    logs.write(state_dir, ["last", "x" * 900])
    (state_dir / "log" / "tip").unlink()  # it was written after a frame that now was never written
    last = logs.segments(state_dir)[-1]
    data = last.read_bytes()
    assert data[1024:].strip(b"\0")
    last.write_bytes(data[:1024] + bytes(len(data) - 1024))
    return last


def test_a_repair_explains_first_and_keeps_what_it_cuts(
    run: Run, state_dir: Path, log: Path
) -> None:
    last = tear(state_dir)
    before = last.read_bytes()
    result = run("log", "repair")
    assert result.exit_code == 0, result.stderr
    assert f"{last.name} ends with " in result.stdout
    assert f"after event {EVENTS + 1}; nobody was ever told" in result.stdout
    assert "with --cut they are moved" in result.stdout
    assert last.read_bytes() == before
    assert f"kept in {last.name}.torn-1" in run("log", "repair", "--cut").stdout
    kept = (log / f"{last.name}.torn-1").read_bytes()
    assert before.rstrip(b"\0").endswith(kept)
    answer = json.loads(run("log", "repair", "--json").stdout)
    assert (answer["ending"], answer["events"]) == ("sealed", EVENTS + 1)
    logs.write(state_dir, ["next"])
    kinds = [json.loads(line)["type"] for line in run("log", "cat", "--json").stdout.splitlines()]
    assert kinds[-2:] == ["log.repaired.v1", "vm.agent-ready.v1"]


def test_nothing_to_repair_is_said(run: Run, log: Path) -> None:
    assert "there is nothing to repair" in run("log", "repair").stdout


def test_damage_is_not_repaired(run: Run, state_dir: Path, log: Path) -> None:
    logs.flip(logs.segments(state_dir)[1], 700)
    before = {path.name: path.read_bytes() for path in log.iterdir() if path.is_file()}
    result = run("log", "repair", "--cut")
    assert result.exit_code == 6
    assert {path.name: path.read_bytes() for path in log.iterdir() if path.is_file()} == before


def test_without_a_tip_all_but_the_last_commit_is_signed(run: Run, log: Path, key: str) -> None:
    (log / "tip").unlink()
    told = run("log", "checkpoint")
    assert (told.exit_code, told.stdout.split("\n")[1]) == (0, str(EVENTS - 1))


def test_a_checkpoint_that_was_tampered_with_is_kept_as_evidence(
    run: Run, log: Path, key: str
) -> None:
    run("log", "checkpoint")
    checkpoint = log / "checkpoint"
    forged = checkpoint.read_text().replace(f"\n{EVENTS}\n", f"\n{EVENTS - 1}\n")
    checkpoint.write_text(forged)
    assert run("log", "verify").exit_code == 6
    assert run("log", "checkpoint").exit_code == 0
    assert (log / "checkpoint.refused-1").read_text() == forged
    assert run("log", "verify").exit_code == 0


def test_a_log_that_is_gone_is_not_called_intact_and_no_new_one_is_begun(
    run: Run, state_dir: Path, log: Path, key: str
) -> None:
    for file in log.glob("*.log"):
        file.unlink()
    before = sorted(path.name for path in log.iterdir())
    for command in (["verify"], ["cat"], ["archive", "--keep", "0", "--drop"]):
        result = run("log", *command)
        assert (result.exit_code, "is gone from" in result.stderr) == (6, True)
    assert sorted(path.name for path in log.iterdir()) == before


@pytest.mark.parametrize("name", ["checkpoint", "tip"])
def test_a_fifo_in_the_log_is_refused_and_not_waited_for(
    run: Run, log: Path, key: str, name: str
) -> None:
    run("log", "checkpoint")
    (log / name).unlink()
    os.mkfifo(log / name)
    result = run("log", "verify")
    assert (result.exit_code, "not a regular file" in result.stderr) == (6, True)
