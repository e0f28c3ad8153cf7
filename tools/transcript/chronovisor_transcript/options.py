"""What the simulated QEMU reads from the argv that the daemon gives to the real one."""

import json
from collections.abc import Sequence
from typing import NamedTuple

MEMORY_MAX = 2**48
"""Bytes; QEMU cannot set up more either."""
RESULTS_NODE = "results"
FD_SET = "/dev/fdset/"
"""Sets of inherited descriptors (qemu-system(1), -add-fd); ours have the descriptor's number."""


class Options(NamedTuple):
    """The part of QEMU's command line that matters without a machine."""

    uuid: str
    memory_bytes: int
    launch: int
    results_fd: int


def parse(argv: Sequence[str]) -> Options:
    """Return the options; what is not known is passed over, as it has nothing to act on."""
    return Options(
        uuid=_value(argv, "-uuid"),
        memory_bytes=int(_value(argv, "-m").rstrip("B") or 0),
        launch=int(_value(argv, "-name").rpartition("-")[2] or 1),
        results_fd=_results_fd(argv),
    )


def _value(argv: Sequence[str], name: str) -> str:
    return next(iter(_values(argv, name)), "")


def _values(argv: Sequence[str], name: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv[:-1]) if word == name]


def _results_fd(argv: Sequence[str]) -> int:
    for node in _values(argv, "-blockdev"):
        value = json.loads(node)
        if value.get("node-name") == RESULTS_NODE:
            return int(str(value["file"]["filename"]).removeprefix(FD_SET))
    return -1
