"""`log verify` and `log cat --skip-damage` on logs that were damaged, cut, mixed and rewritten."""

import json
import random
import shutil
from pathlib import Path

import google_crc32c
import pytest

from eventlog.checkpoint import sign_checkpoint
from eventlog.merkle import EMPTY_ROOT
from eventlog.notary import Notary
from eventlog.note import Signer
from supervisor.log_key import origin
from tests.cli import logs
from tests.cli.conftest import Run

EVENTS = 80


@pytest.fixture
def log(state_dir: Path) -> Path:
    """A log of several segments, with its key and a checkpoint."""
    logs.write(state_dir, [f"id-{number}" for number in range(EVENTS)])
    Notary(state_dir / "log", logs.signer(state_dir)).checkpoint()
    return state_dir / "log"


@pytest.fixture
def saved(state_dir: Path, log: Path, tmp_path: Path) -> Path:
    """The checkpoint, carried away; and then more happened."""
    shutil.copy(log / "checkpoint", tmp_path / "saved.txt")
    logs.write(state_dir, [f"later-{number}" for number in range(EVENTS)])
    Notary(log, logs.signer(state_dir)).checkpoint()
    return tmp_path / "saved.txt"


def test_all_that_was_checked_is_told(run: Run, log: Path, saved: Path) -> None:
    result = run("log", "verify", "--against", str(saved))
    assert result.exit_code == 0, result.stderr
    assert f"the log is intact: {2 * EVENTS} events" in result.stdout
    assert f"covers {2 * EVENTS} events, and its signature holds" in result.stdout
    assert f"it continues {saved}: the first {EVENTS} events are the same" in result.stdout


def test_in_json_it_is_one_object(run: Run, log: Path, saved: Path) -> None:
    answer = json.loads(run("log", "verify", "--json", "--against", str(saved)).stdout)
    assert answer["against"] == [{"file": str(saved), "events": EVENTS}]
    assert (answer["intact"], answer["checkpoint"], answer["events"]) == (
        True,
        2 * EVENTS,
        2 * EVENTS,
    )
    assert answer["tiles"] == {"checked": 2, "missing": 0, "lost": 0}


def test_the_public_key_alone_is_enough(
    run: Run, state_dir: Path, log: Path, saved: Path, tmp_path: Path
) -> None:
    key = str(logs.signer(state_dir).verifier)
    (state_dir / "log.key").unlink()
    (tmp_path / "log.pub").write_text(f"{key}\n")
    for named in (key, str(tmp_path / "log.pub")):
        assert run("log", "verify", "--key", named, "--against", str(saved)).exit_code == 0
    result = run("log", "verify", "--against", str(saved))
    assert result.exit_code == 5
    assert "there is no key" in result.stderr
    result = run("log", "verify")
    assert result.exit_code == 0
    assert "signatures were not checked" in result.stderr


def test_any_byte_of_a_sealed_segment_is_named_and_the_rest_stays_readable(
    run: Run, state_dir: Path, log: Path
) -> None:
    sealed = logs.segments(state_dir)[1]
    content = sealed.read_bytes()
    chance = random.Random(3)
    for at in [0, 511, 512, len(content) - 1, *chance.sample(range(len(content)), 12)]:
        logs.flip(sealed, at)
        result = run("log", "verify", "--json", "--keep-going")
        answer = json.loads(result.stdout)
        assert result.exit_code == 6
        assert (answer["intact"], answer["path"]) == (False, sealed.name)
        assert int(sealed.stem) <= answer["position"] <= EVENTS
        (first, *others) = answer["readable"]
        assert first[0] == 1
        assert [first, *others][-1][1] == EVENTS
        cat = run("log", "cat", "--json", "--skip-damage")
        assert cat.exit_code == 6
        positions = [json.loads(line)["position"] for line in cat.stdout.splitlines()]
        assert positions == [n for a, b in answer["readable"] for n in range(a, b + 1)]
        assert len(positions) >= EVENTS - 1
        sealed.write_bytes(content)
    assert run("log", "verify").exit_code == 0


def test_damage_is_told_in_words_too(run: Run, state_dir: Path, log: Path) -> None:
    logs.flip(logs.segments(state_dir)[0], 600)
    result = run("log", "verify", "--keep-going")
    assert result.exit_code == 6
    assert f"events 2 to {EVENTS}: readable" in result.stdout
    assert "is damaged at byte 512, event 1" in result.stdout
    assert "is damaged at byte 512, event 1" in result.stderr


def test_a_log_that_was_rewritten_with_its_own_key_is_refused(
    run: Run, state_dir: Path, log: Path, saved: Path
) -> None:
    logs.rewrite(state_dir, "id-7", "forged")
    Notary(log, logs.signer(state_dir)).checkpoint()
    assert run("log", "verify").exit_code == 0, "it does not contradict itself"
    result = run("log", "verify", "--json", "--against", str(saved))
    assert result.exit_code == 6
    assert json.loads(result.stdout)["intact"] is False
    assert f"the first {EVENTS} events are not those" in result.stderr


def test_the_same_log_written_anew_is_not_refused(
    run: Run, state_dir: Path, log: Path, saved: Path
) -> None:
    """Else the refusals above would come from the forger's clumsiness."""
    logs.rewrite(state_dir, "id-7", "id-7")
    assert run("log", "verify", "--against", str(saved)).exit_code == 0


def test_its_own_checkpoint_gives_away_who_has_no_key(run: Run, state_dir: Path, log: Path) -> None:
    shutil.copy(log / "checkpoint", state_dir / "kept")
    logs.rewrite(state_dir, "id-7", "forged")
    shutil.copy(state_dir / "kept", log / "checkpoint")
    result = run("log", "verify")
    assert result.exit_code == 6
    assert "the log was rewritten" in result.stderr


def test_a_checkpoint_of_the_future_is_refused(
    run: Run, state_dir: Path, log: Path, tmp_path: Path
) -> None:
    future = sign_checkpoint(EVENTS + 9, EMPTY_ROOT, logs.signer(state_dir))
    (tmp_path / "future.txt").write_text(future.note)
    result = run("log", "verify", "--against", str(tmp_path / "future.txt"))
    assert result.exit_code == 6
    assert f"events {EVENTS + 1} to {EVENTS + 9} are missing" in result.stderr


def test_a_checkpoint_of_another_log_a_cut_one_and_another_key_are_refused(
    run: Run, log: Path, saved: Path, tmp_path: Path
) -> None:
    other = Signer.generate(origin("another"))
    foreign = tmp_path / "foreign.txt"
    foreign.write_text(sign_checkpoint(1, EMPTY_ROOT, other).note)
    result = run("log", "verify", "--against", str(foreign))
    assert (result.exit_code, "foreign.txt: the checkpoint is not trusted" in result.stderr) == (
        6,
        True,
    )
    result = run("log", "verify", "--against", str(foreign), "--key", str(other.verifier))
    assert result.exit_code == 6
    assert "the checkpoint is of 'chronovisor/another', not of" in result.stderr
    cut = tmp_path / "cut.txt"
    cut.write_bytes(saved.read_bytes()[:-20])
    result = run("log", "verify", "--against", str(cut))
    assert (result.exit_code, "no signed checkpoint" in result.stderr) == (6, True)


def test_what_an_older_key_has_signed_is_still_checked(
    run: Run, state_dir: Path, log: Path, saved: Path
) -> None:
    old = str(logs.signer(state_dir).verifier)
    (state_dir / "log.key").unlink()
    Notary(log, logs.signer(state_dir)).checkpoint()
    assert run("log", "verify").exit_code == 0
    result = run("log", "verify", "--key", old, "--against", str(saved))
    assert result.exit_code == 0
    assert "it continues" in result.stdout
    assert "is signed by" in result.stderr


def test_a_checkpoint_with_another_text_under_its_signature_is_refused(run: Run, log: Path) -> None:
    note = (log / "checkpoint").read_text()
    (log / "checkpoint").write_text(note.replace(f"\n{EVENTS}\n", f"\n{EVENTS - 1}\n"))
    result = run("log", "verify")
    assert result.exit_code == 6
    assert "does not match its text" in result.stderr


def test_a_key_or_a_file_that_is_none_is_a_wrong_command_line(
    run: Run, log: Path, tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent")
    for arguments in (["--key", "a+b"], ["--key", absent], ["--against", absent]):
        assert run("log", "verify", *arguments).exit_code == 2


def test_a_tile_that_was_changed_is_named(run: Run, log: Path) -> None:
    tile = log / "tile" / "0" / "000.p" / str(EVENTS)
    logs.flip(tile, 5)
    result = run("log", "verify")
    assert result.exit_code == 6
    assert f"tile/0/000.p/{EVENTS} does not match the log" in result.stderr
    assert "remove this file: it is made anew when it is needed" in " ".join(result.stderr.split())
    tile.unlink()
    result = run("log", "verify")
    assert result.exit_code == 0
    assert "tiles that are missing, and made anew when they are needed: 1" in result.stderr


def test_a_tile_of_archived_events_that_is_gone_is_told(
    run: Run, state_dir: Path, log: Path, tmp_path: Path
) -> None:
    logs.write(state_dir, ["more"] * 300)
    logs.archive(state_dir, 300, tmp_path / "kept")
    run("log", "checkpoint")
    assert json.loads(run("log", "verify", "--json").stdout)["tiles"]["lost"] == 0
    (log / "tile/0/000").unlink()
    result = run("log", "verify")
    assert result.exit_code == 0
    assert "tiles that are lost, so that what was archived is not proved: 1" in result.stderr


def test_a_segment_that_is_missing_in_the_middle_is_refused(
    run: Run, state_dir: Path, log: Path
) -> None:
    missing = logs.segments(state_dir)[1]
    missing.unlink()
    result = run("log", "verify", "--keep-going")
    assert result.exit_code == 6
    assert "are missing" in result.stderr
    assert f"events 1 to {int(missing.stem) - 1}: readable" in result.stdout


def test_two_logs_mixed_are_refused(run: Run, state_dir: Path, log: Path, tmp_path: Path) -> None:
    logs.write(tmp_path, [f"id-{number}" for number in range(EVENTS)])
    mine, others = logs.segments(state_dir), logs.segments(tmp_path)
    assert mine[1].name == others[1].name
    mine[1].chmod(0o600)
    mine[1].write_bytes(others[1].read_bytes())
    result = run("log", "verify")
    assert result.exit_code == 6
    assert "it is of log" in result.stderr


def test_a_newer_format_is_no_damage_and_is_not_guessed_at(
    run: Run, state_dir: Path, log: Path
) -> None:
    second = logs.segments(state_dir)[1]
    data = bytearray(second.read_bytes())
    data[8:10] = (2).to_bytes(2, "little")
    data[508:512] = google_crc32c.value(bytes(data[:508])).to_bytes(4, "little")
    second.chmod(0o600)
    second.write_bytes(data)
    for command in (["verify", "--keep-going"], ["cat", "--skip-damage"], ["repair", "--cut"]):
        result = run("log", *command)
        assert result.exit_code == 7
        assert "has format version 2" in result.stderr
    assert second.read_bytes() == data


def test_a_checkpoint_file_that_holds_nothing_is_no_damage(run: Run, log: Path) -> None:
    (log / "checkpoint").write_bytes(b"")
    result = run("log", "verify")
    assert result.exit_code == 0
    assert "there was no signed checkpoint to check" in result.stderr
