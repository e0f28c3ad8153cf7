"""What the daemon tells of its own work, for people and for programs."""

import json
import logging
import sys

from supervisor.cli.daemon_log import JsonLines


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    trouble = None
    if failed:
        try:
            raise ValueError("why")
        except ValueError:
            trouble = sys.exc_info()
    told = logging.LogRecord("supervisor.x", logging.WARNING, "", 0, message, ("a\nb",), trouble)
    told.created = 1.5
    return told


def test_a_program_gets_one_object_a_line() -> None:
    line = JsonLines().format(record("it is %s"))

    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500000+00:00",
        "level": "warning",
        "logger": "supervisor.x",
        "message": "it is a\nb",
    }


def test_a_traceback_is_a_text_of_the_object() -> None:
    told = json.loads(JsonLines().format(record("%s", failed=True)))
    assert told["exception"].endswith("ValueError: why")
