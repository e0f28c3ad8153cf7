"""What the simulated QEMU reads from the argv that the daemon gives to the real one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

GUEST_KINDS = ("sev-guest", "sev-snp-guest")
DESCRIPTOR = ("/proc/self/fd/", "/dev/fdset/")
"""A set of inherited descriptors has the number of its only descriptor."""


class SevOptions(NamedTuple):
    """The part of QEMU's command line that SEV is about; an empty path where there is none."""

    guest: dict[str, Any]
    is_asked_for: bool
    firmware: str
    kernel: str
    initrd: str
    command_line: str
    uuid: str
    vcpus: int
    cpu: str

    @property
    def kind(self) -> str:
        """The object's type, or nothing for a guest that is not confidential."""
        return str(self.guest.get("qom-type", ""))


def parse(argv: Sequence[str]) -> SevOptions:
    """Return the options."""
    guest = next((each for each in objects(argv) if each.get("qom-type") in GUEST_KINDS), {})
    wanted = f"confidential-guest-support={guest.get('id')}"
    return SevOptions(
        guest,
        any(wanted in value.split(",") for value in values(argv, "-machine")),
        readable(value_of(argv, "-bios") or _flash(argv)),
        readable(value_of(argv, "-kernel")),
        readable(value_of(argv, "-initrd")),
        value_of(argv, "-append"),
        value_of(argv, "-uuid"),
        int(value_of(argv, "-smp").partition(",")[0] or 1),
        value_of(argv, "-cpu").partition(",")[0],
    )


def objects(argv: Sequence[str]) -> list[dict[str, Any]]:
    """Return what -object makes, in its JSON form or the older one."""
    return [_object(text) for text in values(argv, "-object")]


def values(argv: Sequence[str], name: str) -> list[str]:
    """Return what follows every occurrence of an option."""
    return [argv[at + 1] for at, word in enumerate(argv[:-1]) if word == name]


def value_of(argv: Sequence[str], name: str) -> str:
    """Return what follows the first occurrence of an option, or nothing."""
    return next(iter(values(argv, name)), "")


def readable(path: str) -> str:
    """Return a path that can be opened where QEMU was told to use a descriptor."""
    for prefix in DESCRIPTOR:
        if path.startswith(prefix):
            return f"{DESCRIPTOR[0]}{path.removeprefix(prefix)}"
    return path


def contents(path: str) -> bytes:
    """Return a whole file, which may be a descriptor, from its beginning."""
    return Path(path).read_bytes() if path else b""


def _object(text: str) -> dict[str, Any]:
    if text.startswith("{"):
        return dict(json.loads(text))
    kind, *pairs = text.split(",")
    return {"qom-type": kind, **dict(pair.split("=", 1) for pair in pairs)}


def _flash(argv: Sequence[str]) -> str:
    """Return the file of the first flash chip, which is the firmware's code."""
    machine = dict(pair.partition("=")[::2] for pair in value_of(argv, "-machine").split(","))
    for node in map(json.loads, values(argv, "-blockdev")):
        if node.get("node-name") == machine.get("pflash0"):
            return str(node["file"]["filename"])
    return ""
