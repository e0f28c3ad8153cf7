"""One finding: what was looked at, how it is, and what to do about it."""

from enum import Enum

import msgspec


class Level(Enum):
    """What a finding means. With a fault the daemon, or what it is for, does not work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Finding(msgspec.Struct, frozen=True):
    """What there is to say of one thing; ``fix`` is empty where nothing is to be done."""

    subject: str
    level: Level
    says: str
    fix: str = ""


def ok(subject: str, says: str) -> Finding:
    """Return that something is well."""
    return Finding(subject, Level.OK, says)


def warning(subject: str, says: str, fix: str) -> Finding:
    """Return that something could be better."""
    return Finding(subject, Level.WARNING, says, fix)


def fault(subject: str, says: str, fix: str) -> Finding:
    """Return that something does not work."""
    return Finding(subject, Level.FAULT, says, fix)
