"""Which events a subscriber wants, and from where: the same for every protocol."""

from collections.abc import Callable, Collection, Sequence

import msgspec

from eventlog import CaughtUp, Record
from supervisor.api.moments import position_before
from supervisor.api.ports import Log
from supervisor.api.refusals import denied_for, refuse
from supervisor.vm.commands import DenyReason
from supervisor.vm.events import Outcome
from supervisor.vm.rules import check_vm_id

TYPES = 64
"""More types than this, and a subscriber wants all of them."""
TYPE_CHARACTERS = 128
STREAM_CHARACTERS = 256
"""The longest name of a stream is shorter."""
LEFT_OUT = 1000
"""Events that are left out without a word: what a subscriber that comes back has to skip again."""


class Subscription(msgspec.Struct, frozen=True):
    """A cursor and a filter. ``types`` are tags of the log; an empty set takes everything.

    ``since_ns``, a moment in nanoseconds since 1970, stands in place of ``after``.
    """

    after: int = 0
    log_id: str | None = None
    vm_id: str | None = None
    types: frozenset[str] = frozenset()
    since_ns: int | None = None
    stream: str | None = None
    outcomes: frozenset[Outcome] = frozenset()

    def wants(self, record: Record) -> bool:
        """Whether the record passes the filter."""
        if self.vm_id is not None and record.stream != f"vm/{self.vm_id}":
            return False
        if self.stream is not None and record.stream != self.stream:
            return False
        if self.types and record.type not in self.types:
            return False
        return not self.outcomes or outcome_of(record) in self.outcomes


class _Ending(msgspec.Struct):
    """What is looked for in an event's facts."""

    outcome: str = ""


_ending = msgspec.msgpack.Decoder(_Ending)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


def outcome_of(record: Record) -> Outcome | None:
    """Return the outcome that an event tells of, if it tells of one."""
    try:
        return _OUTCOMES.get(_ending.decode(record.payload).outcome)
    except msgspec.ValidationError:  # this event calls something else by that name
        return None


class Bookmark(msgspec.Struct, frozen=True):
    """Nothing up to ``position`` is still to come; the last events there were left out."""

    position: int


Item = Record | CaughtUp | Bookmark


async def begin(subscription: Subscription, log: Log, sees: Callable[[Record], bool]) -> "Matching":
    """Return what a subscriber wants and ``sees``, from where it wants it. Raises CommandDenied."""
    _check_cursor(subscription, log)
    _check_filter(subscription)
    if subscription.since_ns is None:
        return Matching(log, subscription, sees)
    after = await position_before(log, subscription.since_ns)
    return Matching(log, msgspec.structs.replace(subscription, after=after), sees)


def _check_cursor(subscription: Subscription, log: Log) -> None:
    if subscription.since_ns is not None and subscription.after:
        raise denied_for(DenyReason.INVALID_ARGUMENT, "since", "does not go with `after`: give one")
    if subscription.log_id is not None and subscription.log_id != log.log_id:
        got = f"got {subscription.log_id[:64]!r}; this log is {log.log_id!r}"
        raise denied_for(DenyReason.CURSOR_OF_ANOTHER_LOG, "log_id", got)
    if subscription.after > log.head:
        got = f"got {subscription.after}; the log ends at {log.head}"
        raise denied_for(DenyReason.POSITION_IN_FUTURE, "after", got)
    if 0 < subscription.after < log.first - 1:
        got = f"got {subscription.after}; events before {log.first} were archived: begin at 0"
        raise denied_for(DenyReason.POSITION_ARCHIVED, "after", got)


def _check_filter(subscription: Subscription) -> None:
    if subscription.vm_id is not None:
        refuse(check_vm_id(subscription.vm_id))
    if subscription.stream is not None:
        check_stream("stream", subscription.stream)
    check_types("types", subscription.types)


def check_stream(field: str, stream: str) -> None:
    """Refuse what no stream is called."""
    if not 0 < len(stream) <= STREAM_CHARACTERS:
        takes = f"got {stream[:40]!r}; it takes host, vm/ID or artifact/SHA256"
        raise denied_for(DenyReason.INVALID_ARGUMENT, field, takes)


def check_types(field: str, types: Collection[str]) -> None:
    """Refuse more types than anybody chooses, and what is too long to be one."""
    longest = max(map(len, types), default=0)
    if len(types) > TYPES or longest > TYPE_CHARACTERS:
        takes = f"it takes at most {TYPES} types of at most {TYPE_CHARACTERS} characters"
        raise denied_for(DenyReason.INVALID_ARGUMENT, field, takes)


class Matching:
    """What a subscriber wants of a log: replay, the marker, then what is live, without end.

    A bookmark comes after many events that were left out. ``after`` is where it begins. An
    iterator, not a generator: it needs no closing and may be dropped anywhere.
    """

    def __init__(
        self, log: Log, subscription: Subscription, sees: Callable[[Record], bool]
    ) -> None:
        self.after = subscription.after
        self._items = log.subscribe(subscription.after)
        self._subscription = subscription
        self._sees = sees
        self._left_out = 0

    def __aiter__(self) -> "Matching":
        return self

    async def __anext__(self) -> Item:
        while True:
            if (item := self._matched(await anext(self._items))) is not None:
                return item

    async def take(self) -> Sequence[Item]:
        """Return the next items in one go, waiting where there are none: to send many at once."""
        while True:
            matched = map(self._matched, await self._items.take())
            if found := [item for item in matched if item is not None]:
                return found

    def _matched(self, item: Record | CaughtUp) -> Item | None:
        if isinstance(item, CaughtUp) or (self._subscription.wants(item) and self._sees(item)):
            self._left_out = 0
            return item
        self._left_out += 1
        if self._left_out < LEFT_OUT:
            return None
        self._left_out = 0
        return Bookmark(item.position)
