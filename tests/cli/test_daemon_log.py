"""What the daemon tells of its own work, for people and for programs."""

import json
import logging
import sys

import pytest
from structlog.contextvars import bound_contextvars

from supervisor.cli.daemon_log import REDACTED, formatter
from supervisor.config import LogFormat

PEOPLE, PROGRAMS = formatter(LogFormat.CONSOLE), formatter(LogFormat.JSON)
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----"


def record(
    message: str, said: str = "a\nb", *, failed: bool = False, why: str = "why"
) -> logging.LogRecord:
    trouble = None
    if failed:
        try:
            raise ValueError(why)
        except ValueError:
            trouble = sys.exc_info()
    told = logging.LogRecord("supervisor.x", logging.WARNING, "", 0, message, (said,), trouble)
    told.created = 1.5
    return told


def test_a_program_gets_one_object_a_line() -> None:
    line = PROGRAMS.format(record("it is %s"))

    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500000+00:00",
        "level": "warning",
        "logger": "supervisor.x",
        "message": "it is a\nb",
    }


def test_a_person_gets_one_line() -> None:
    line = PEOPLE.format(record("it is %s"))
    assert line == "1970-01-01T00:00:01.500000+00:00 WARNING supervisor.x it is a\\nb"


def test_a_traceback_is_a_text_of_the_object() -> None:
    told = json.loads(PROGRAMS.format(record("%s", failed=True)))
    assert told["exception"].endswith("ValueError: why")


def test_a_person_gets_a_traceback_below_the_line() -> None:
    first, *rest = PEOPLE.format(record("%s", failed=True)).splitlines()
    assert first.endswith("supervisor.x a\\nb")
    assert (rest[0], rest[-1]) == ("  Traceback (most recent call last):", "  ValueError: why")


def test_what_an_error_quotes_looks_like_no_line_of_ours() -> None:
    forged = PEOPLE.format(record("%s", "all is well"))
    for quoted in (f"why\n{forged}", f"why\n\n{forged}", f"why\r\n{forged}"):
        _first, *rest = PEOPLE.format(record("%s", failed=True, why=quoted)).split("\n")
        assert rest
        assert all(line.startswith("  ") for line in rest)


def test_what_a_task_is_about_is_in_its_lines() -> None:
    told = record("%s")
    told.position = 7
    with bound_contextvars(vm_id="a", launch=2):
        fields = json.loads(PROGRAMS.format(told))
        line = PEOPLE.format(record("%s"))
    assert (fields["vm_id"], fields["launch"], fields["position"]) == ("a", 2, 7)
    assert line.endswith(" launch=2 vm_id=a")


@pytest.mark.parametrize("secret", ["Bearer abc", "bearer  abc", KEY, KEY[:40] + "abc MHc"])
@pytest.mark.parametrize("form", [PEOPLE, PROGRAMS])
def test_no_secret_is_told(secret: str, form: logging.Formatter) -> None:
    told = record("got %s", secret)
    told.token = "abc"
    line = form.format(told)
    assert line.count(REDACTED) == 2
    assert "abc" not in line
    assert "MHc" not in line


def test_a_client_cannot_write_to_the_terminal() -> None:
    told = record("%s", "\x1b[2J\r")
    told.path = "a\nb\x07"
    assert not {"\x1b", "\r", "\n", "\x07"} & set(PEOPLE.format(told))
