"""Which events a subscriber wants, and from where: the same for every protocol."""

from collections.abc import Iterable

import msgspec

from eventlog import CaughtUp, Record
from supervisor.api.cloudevents import TYPE_PREFIX
from supervisor.api.ports import Log
from supervisor.api.refusals import denied_for, refuse
from supervisor.vm.commands import DenyReason
from supervisor.vm.rules import check_vm_id

TYPES = 64
"""More types than this, and a subscriber wants all of them."""
TYPE_CHARACTERS = 128


class Subscription(msgspec.Struct, frozen=True):
    """A cursor and a filter. ``types`` are tags of the log; empty means every type."""

    after: int = 0
    log_id: str | None = None
    vm_id: str | None = None
    types: frozenset[str] = frozenset()

    def wants(self, record: Record) -> bool:
        """Whether the record passes the filter."""
        if self.vm_id is not None and record.stream != f"vm/{self.vm_id}":
            return False
        return not self.types or record.type in self.types


def tags(types: Iterable[str]) -> frozenset[str]:
    """Return the log's tags of event types, which may be spelled as those of CloudEvents."""
    return frozenset(name.removeprefix(TYPE_PREFIX) for name in types)


def check(subscription: Subscription, log: Log) -> None:
    """Refuse a cursor that does not belong to ``log``, and a filter that is nonsense."""
    if subscription.log_id is not None and subscription.log_id != log.log_id:
        got = f"got {subscription.log_id[:64]!r}; this log is {log.log_id!r}"
        raise denied_for(DenyReason.CURSOR_OF_ANOTHER_LOG, "log_id", got)
    if subscription.after > log.head:
        got = f"got {subscription.after}; the log ends at {log.head}"
        raise denied_for(DenyReason.POSITION_IN_FUTURE, "after", got)
    if 0 < subscription.after < log.first - 1:
        got = f"got {subscription.after}; events before {log.first} were archived: begin at 0"
        raise denied_for(DenyReason.POSITION_ARCHIVED, "after", got)
    if subscription.vm_id is not None:
        refuse(check_vm_id(subscription.vm_id))
    longest = max(map(len, subscription.types), default=0)
    if len(subscription.types) > TYPES or longest > TYPE_CHARACTERS:
        takes = f"it takes at most {TYPES} types of at most {TYPE_CHARACTERS} characters"
        raise denied_for(DenyReason.INVALID_ARGUMENT, "type", takes)


class Matching:
    """What a subscriber wants of a log: replay, the marker, then what is live, without end.

    An iterator, not a generator: it needs no closing and may be dropped anywhere.
    """

    def __init__(self, log: Log, subscription: Subscription) -> None:
        self._items = log.subscribe(subscription.after)
        self._subscription = subscription

    def __aiter__(self) -> "Matching":
        return self

    async def __anext__(self) -> Record | CaughtUp:
        while True:
            item = await anext(self._items)
            if isinstance(item, CaughtUp) or self._subscription.wants(item):
                return item
