"""What the simulated QEMU reads from the argv that the daemon gives to the real one."""

import json
from collections.abc import Sequence
from typing import NamedTuple

MEMORY_MAX = 2**48
"""Bytes; QEMU cannot set up more either."""


class Options(NamedTuple):
    """The part of QEMU's command line that matters without a machine."""

    uuid: str
    pidfile: str
    memory_bytes: int
    launch: int
    console_log: str
    results_disk: str


def parse(argv: Sequence[str]) -> Options:
    """Return the options; what is not known is passed over, as it has nothing to act on."""
    return Options(
        uuid=_value(argv, "-uuid"),
        pidfile=_value(argv, "-pidfile"),
        memory_bytes=int(_value(argv, "-m").rstrip("B") or 0),
        launch=int(_value(argv, "-name").rpartition("-")[2] or 1),
        console_log=_console_log(argv),
        results_disk=_results_disk(argv),
    )


def _value(argv: Sequence[str], name: str) -> str:
    return next(iter(_values(argv, name)), "")


def _values(argv: Sequence[str], name: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv[:-1]) if word == name]


def _console_log(argv: Sequence[str]) -> str:
    for chardev in _values(argv, "-chardev"):
        # A comma in a value is doubled (qemu-system(1)).
        for field in chardev.replace(",,", "\0").split(","):
            if field.startswith("logfile="):
                return field.removeprefix("logfile=").replace("\0", ",")
    return ""


def _results_disk(argv: Sequence[str]) -> str:
    for node in _values(argv, "-blockdev"):
        value = json.loads(node)
        if value.get("node-name") == "results":
            return str(value.get("file", {}).get("filename", ""))
    return ""
