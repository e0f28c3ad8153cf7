"""Which events a subscriber wants, and from where: the same for every protocol."""

from collections.abc import AsyncIterator, Iterable

import msgspec

from eventlog import CaughtUp, Record
from supervisor.api.cloudevents import TYPE_PREFIX
from supervisor.api.ports import Log
from supervisor.vm.commands import CommandDenied, DenyReason, FieldViolation
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
        detail = f"log_id: got {subscription.log_id[:64]!r}; this log is {log.log_id!r}"
        raise CommandDenied(DenyReason.CURSOR_OF_ANOTHER_LOG, detail)
    if subscription.after > log.head:
        detail = f"after: got {subscription.after}; the log ends at {log.head}"
        raise CommandDenied(DenyReason.POSITION_IN_FUTURE, detail)
    violations = check_vm_id(subscription.vm_id) if subscription.vm_id is not None else ()
    if len(subscription.types) > TYPES or any(
        len(name) > TYPE_CHARACTERS for name in subscription.types
    ):
        takes = f"at most {TYPES} types of at most {TYPE_CHARACTERS} characters"
        violations = (*violations, FieldViolation("types", f"got more; it takes {takes}"))
    if violations:
        detail = "; ".join(f"{wrong.field}: {wrong.description}" for wrong in violations)
        raise CommandDenied(DenyReason.INVALID_ARGUMENT, detail, violations)


async def follow(log: Log, subscription: Subscription) -> AsyncIterator[Record | CaughtUp]:
    """Yield what the subscriber wants: replay, the marker, then what is live."""
    async for item in log.subscribe(subscription.after):
        if isinstance(item, CaughtUp) or subscription.wants(item):
            yield item
