"""``/v1/events?after=N&...`` -> which events a subscriber wants. Garbage is refused by name."""

import re
from urllib.parse import parse_qsl, urlsplit

from supervisor.api.refusals import denied_for
from supervisor.api.subscription import TYPES, Subscription, tags
from supervisor.vm.commands import CommandDenied, DenyReason

EVENTS_PATH = "/v1/events"
SINGLE = frozenset({"after", "log_id", "vm_id"})
REPEATED = "type"
PARAMETERS = len(SINGLE) + TYPES
"""More than these, and something is there that does not belong."""

_POSITION = re.compile(r"[0-9]{1,20}")


def path_of(target: str) -> str:
    """Return the path of a request target; empty if it has none."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


def parse(target: str) -> Subscription:
    """Return what a request target asks for. Raises CommandDenied that names the parameter."""
    single: dict[str, str] = {}
    types: list[str] = []
    for name, value in _pairs(target):
        if name == REPEATED and value:
            types.append(value)
        elif name not in SINGLE:
            takes = f"it takes {', '.join(sorted(SINGLE))} and {REPEATED}"
            raise _garbage(name[:64], f"is not a parameter here, or has no value; {takes}")
        elif name in single:
            raise _garbage(name, "is given twice")
        else:
            single[name] = value
    after = _position(single.get("after", "0"))
    return Subscription(after, single.get("log_id"), single.get("vm_id"), tags(types))


def _pairs(target: str) -> list[tuple[str, str]]:
    query = urlsplit(target).query
    try:
        return parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=PARAMETERS,
        )
    except ValueError as error:
        raise _garbage("query", f"cannot be read: {error}") from None


def _position(value: str) -> int:
    if not _POSITION.fullmatch(value):
        raise _garbage("after", f"got {value[:40]!r}; it takes a position: digits only")
    return int(value)


def _garbage(parameter: str, description: str) -> CommandDenied:
    return denied_for(DenyReason.INVALID_ARGUMENT, parameter, description)
