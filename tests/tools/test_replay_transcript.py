"""`tools/replay-transcript`: transcripts of real runs, against the daemon of today."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.source_tree import ROOT

COMMAND = ROOT / "tools" / "replay-transcript"
RECORDED = ROOT / "tests" / "golden" / "transcripts"
SECONDS = 240

Entry = dict[str, Any]


def replay(file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, COMMAND, file],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def changed(tmp_path: Path, change: Callable[[list[Entry]], None]) -> Path:
    lines = (RECORDED / "completed.ndjson").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    change(entries)
    file = tmp_path / "changed.ndjson"
    file.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return file


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.ndjson")))
def test_the_daemon_decides_as_it_did_when_this_was_recorded(name: str) -> None:
    done = replay(RECORDED / f"{name}.ndjson")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("the same decisions: ")


def test_other_words_of_the_guest_lead_to_other_decisions_which_are_shown(tmp_path: Path) -> None:
    def fail_the_computation(entries: list[Entry]) -> None:
        for entry in entries:
            if entry.get("message", {}).get("type") == "finished":
                entry["message"]["exit_code"] = 3

    done = replay(changed(tmp_path, fail_the_computation))
    assert done.returncode == 1, done.stderr
    assert "-vm.stopped.v1 completed" in done.stdout
    assert "+vm.failed.v1 computation-failed" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("other decisions: ")


def _cut_the_beginning(entries: list[Entry]) -> None:
    entries[:] = [e for e in entries if e.get("direction") != "opened"]


def _cut_the_end(entries: list[Entry]) -> None:
    entries[:] = [e for e in entries if e.get("event") != "vm.stopped.v1"]


def _adopt(entries: list[Entry]) -> None:
    entries.append({"at": entries[-1]["at"], "event": "vm.adopted.v1", "data": {"launch": 1}})


def _age(entries: list[Entry]) -> None:
    entries[0]["transcript"] = 9


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_cut_the_beginning, "its beginning is gone"),
        (_cut_the_end, "the launch is not over yet"),
        (_adopt, "the daemon was started again"),
        (_age, "has the form 9"),
        (list.clear, "is no transcript"),
    ],
)
def test_what_is_not_one_whole_launch_is_refused(
    tmp_path: Path, change: Callable[[list[Entry]], None], why: str
) -> None:
    done = replay(changed(tmp_path, change))
    assert done.returncode == 2
    assert why in done.stderr


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    done = replay(tmp_path / "none")
    assert done.returncode == 2
    assert "No such file" in done.stderr
