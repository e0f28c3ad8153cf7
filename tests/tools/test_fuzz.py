"""The fuzzers run, find nothing in a few seconds, and would find what they look for."""

import json
import os
import random
import subprocess
import sys
from logging import ERROR, INFO, LogRecord
from pathlib import Path

import msgspec
import pytest
from chronovisor_fuzz.http_attacks import judged
from chronovisor_fuzz.ledger import FINDS, Find, Ledger
from chronovisor_fuzz.messages import Author, methods
from chronovisor_fuzz.target import Found
from chronovisor_fuzz.verdict import MEMORY_MOST, Leaks, Verdict, causes_in
from chronovisor_fuzz.watch import Health

from supervisor.cli.daemon_log import formatter
from supervisor.config import LogFormat

FUZZ = Path(__file__).parents[2] / "tools" / "fuzz"
CLEAN = Verdict(
    seconds=1.0,
    seed=1,
    attacks=0,
    outcomes={},
    finds=[],
    health=Health(),
    leaks=Leaks(0, 0, 0),
    log="intact",
    exit_code=0,
    causes=[],
)


@pytest.mark.parametrize(
    "fault",
    [
        {"finds": [Find("http: a request", "1/2", "HTTP 500")]},
        {"leaks": Leaks(1, 0, 0)},
        {"leaks": Leaks(0, 0, MEMORY_MOST + 1)},
        {"log": "damaged"},
        {"exit_code": 1},
        {"causes": ["Traceback (most recent call last):"]},
    ],
)
def test_nothing_of_this_passes(fault: dict[str, object]) -> None:
    assert CLEAN.passed
    assert not msgspec.structs.replace(CLEAN, **fault).passed


def raised(error: Exception) -> Exception:
    """Return the error with a traceback, as one that was caught has."""
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("of a nursery", [OSError()])])
def test_what_the_daemon_says_of_a_bug_is_found_among_other_lines(
    tmp_path: Path, log_format: LogFormat, error: Exception
) -> None:
    log, told = tmp_path / "daemon.log", formatter(log_format).format
    bug = (type(error), raised(error), error.__traceback__)
    lines = [
        told(LogRecord("a", INFO, "", 0, "a client left; incident-free", None, None)),
        told(LogRecord("b", ERROR, "", 0, "a task ended", None, bug)),
        told(LogRecord("c", ERROR, "", 0, "incident %s in %s", ("0a1b2c3d", "GET /"), None)),
    ]
    log.write_text("\n".join(lines))
    assert len(causes_in(log)) == 2


def test_an_answer_that_must_not_be_is_found() -> None:
    assert judged(b"HTTP/1.1 404 Not Found\r\n\r\n") == "404"
    assert judged(b"") == "no answer"
    for bad in (b"HTTP/1.1 500 x\r\n\r\n", b"Traceback"):
        with pytest.raises(Found):
            judged(bad)


def test_a_find_is_told_once_and_there_are_not_many() -> None:
    ledger = Ledger()
    for number in range(FINDS * 2):
        ledger.found("an attack", str(number), "the same")
        ledger.found("an attack", str(number), f"number {number}")
    assert len(ledger.finds) == FINDS
    assert ledger.finds[0] == Find("an attack", "0", "the same")
    assert ledger.attacks == FINDS * 4


def test_the_same_seed_writes_the_same_messages_and_some_of_them_are_right() -> None:
    written: list[list[bytes]] = []
    for _ in range(2):
        author = Author(random.Random(7), ("fuzz-1",))
        written.append([author.message(each.takes) for each in methods() for _ in range(20)])
    assert written[0] == written[1]
    assert any(b"fuzz-1" in message for message in written[0])
    assert any(b"fuzz-1" not in message for message in written[0])


@pytest.mark.guest
def test_a_short_run_finds_nothing(guest_dir: Path) -> None:
    # How soon a health check is answered says more of the machine here than of the daemon.
    options = ("--minutes", "0.05", "--seed", "5", "--only", "grpc", "--patience", "60", "--json")
    done = subprocess.run(
        [sys.executable, FUZZ, *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CHRONOVISOR_GUEST_DIR": str(guest_dir)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["attacks"] > 10
    assert verdict["health"]["checks"] >= 1
