"""Where in the log a moment is: how clients write a time, and the first event from then on."""

import re
import time
from datetime import UTC, datetime

from eventlog import Record
from supervisor.api.ports import Log
from supervisor.api.refusals import denied_for
from supervisor.vm.commands import DenyReason

TAKES = "a time such as 2026-11-23T10:00:00Z, or milliseconds since 1970"
SKEW_NS = 60 * 1_000_000_000
"""How far a client's clock may be ahead of ours. A moment further off is a mistake, such as
microseconds that were meant to be milliseconds; without this it would be waited for in vain."""

_MS_IN_NS = 1_000_000
_RFC3339 = re.compile(
    r"(?P<second>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})"
)
_MILLISECONDS = re.compile(r"[0-9]{1,16}")


def parse_moment(written: str) -> int:
    """Return a moment in nanoseconds since 1970, UTC. Raises ValueError."""
    if _MILLISECONDS.fullmatch(written):
        return int(written) * _MS_IN_NS
    match = _RFC3339.fullmatch(written)
    if match is None:
        raise ValueError(f"{written[:40]!r} is no {TAKES}")
    second = datetime.fromisoformat(match["second"] + match["zone"])
    return nanoseconds(second) + int((match["fraction"] or "0").ljust(9, "0"))


def nanoseconds(moment: datetime) -> int:
    """Return a time in nanoseconds since 1970, UTC, exactly; without a zone it is in UTC."""
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    since_1970 = moment - datetime.fromtimestamp(0, UTC)
    microseconds = (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000
    return (microseconds + since_1970.microseconds) * 1_000


async def position_before(log: Log, at_ns: int) -> int:
    """Return the last position before a moment: the first event from then on comes after it.

    Raises CommandDenied for a moment that is to come, or of which events were archived. Takes some
    reads of the log, as many as its length has binary digits.
    """
    oldest = before = max(log.first - 1, 0)
    behind = end = log.head
    while before < behind:
        middle = (before + behind) // 2
        if (await _next(log, middle)).recorded_at < at_ns:
            before = middle + 1
        else:
            behind = middle
    if before == end and at_ns > time.time_ns() + SKEW_NS:
        raise denied_for(DenyReason.POSITION_IN_FUTURE, "since", "is in the future of this host")
    if before == oldest > 0:
        got = f"events before position {log.first} were archived, and some may be of that time"
        raise denied_for(DenyReason.POSITION_ARCHIVED, "since", f"{got}: begin at 0")
    return before


async def _next(log: Log, after: int) -> Record:
    async for item in log.subscribe(after):
        if isinstance(item, Record):
            return item
    raise AssertionError("there are events after every position before the head")
