"""``/v1/events?after=N&...`` -> which events a subscriber wants. Garbage is refused by name.

A stream is called ``subject`` here, as CloudEvents calls it.
"""

import re
from urllib.parse import parse_qsl, urlsplit

from supervisor.api.cloudevents import tags
from supervisor.api.moments import TAKES, parse_moment
from supervisor.api.refusals import denied_for
from supervisor.api.subscription import TYPES, Subscription, check_stream, check_types
from supervisor.vm.commands import CommandDenied, DenyReason
from supervisor.vm.events import Outcome

EVENTS_PATH = "/v1/events"
SINGLE = frozenset({"after", "since", "log_id", "vm_id", "subject"})
REPEATED = frozenset({"type", "outcome"})
PARAMETERS = len(SINGLE) + TYPES + len(Outcome)
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
    repeated: dict[str, list[str]] = {name: [] for name in REPEATED}
    for name, value in _pairs(target):
        if name in REPEATED and value:
            repeated[name].append(value)
        elif name not in SINGLE:
            takes = f"it takes {', '.join(sorted(SINGLE | REPEATED))}"
            raise _garbage(name[:64], f"is not a parameter here, or has no value; {takes}")
        elif name in single:
            raise _garbage(name, "is given twice")
        else:
            single[name] = value
    if {"after", "since"} <= single.keys():
        raise _garbage("since", "does not go with `after`: give one")
    if "subject" in single:
        check_stream("subject", single["subject"])
    types = tags(repeated["type"])
    check_types("type", types)
    return Subscription(
        after=_position(single.get("after", "0")),
        log_id=single.get("log_id"),
        vm_id=single.get("vm_id"),
        types=types,
        since_ns=_moment(single["since"]) if "since" in single else None,
        stream=single.get("subject"),
        outcomes=frozenset(map(_outcome, repeated["outcome"])),
    )


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


def _moment(value: str) -> int:
    try:
        return parse_moment(value)
    except ValueError:
        # A plus sign in a query stands for a space (WHATWG URL, section 5.1).
        plus = "; write the + of a zone as %2B" if " " in value else ""
        raise _garbage("since", f"got {value[:40]!r}; it takes {TAKES}{plus}") from None


def _outcome(value: str) -> Outcome:
    try:
        return Outcome(value)
    except ValueError:
        takes = ", ".join(outcome.value for outcome in Outcome)
        raise _garbage("outcome", f"got {value[:40]!r}; it takes {takes}") from None


def _garbage(parameter: str, description: str) -> CommandDenied:
    return denied_for(DenyReason.INVALID_ARGUMENT, parameter, description)
