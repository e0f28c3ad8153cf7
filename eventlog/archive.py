"""`log.base.v1`: the folded state that lets a log begin in the middle.

A base is one value, cut into parts because an event stays below 64 KiB. All parts stand in a row,
and the first begins a life of the writer, so that it is found at the start of a segment without
reading what comes before. A base of which a part is missing counts for nothing.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from eventlog.record import LOG_STREAM, NewEvent, Record

BASE = "log.base.v1"
PART_BYTES = 56 * 1024
"""Leaves room for the envelope below the limit of 64 KiB."""

PARTS_PER_APPEND = 16
"""Parts in one frame: together below its 1 MiB."""

PARTS_MAX = 16_384
"""Some 900 MiB of state; more is not a state but damage."""


class BasePart(msgspec.Struct, frozen=True):
    """Payload of `log.base.v1`: part `part` of `parts`, counted from 1.

    Segments that end before position `below` may be gone. `sha256` is that of all parts' data.
    """

    part: int
    parts: int
    below: int
    sha256: str
    data: bytes


class Base(msgspec.Struct, frozen=True):
    """What the parts hold together.

    `versions` is the packed table of stream versions before the first part, `repairs` names the
    kept files that were logged before it, `tree` the hash tree's edge, `state` is the caller's own.
    """

    versions: bytes
    repairs: tuple[str, ...]
    state: bytes
    tree: bytes = b""


class FoundBase(msgspec.Struct, frozen=True):
    """A whole base and its place: the positions of its first and its last part."""

    first: int
    last: int
    below: int
    base: Base


def base_events(base: Base, below: int) -> list[NewEvent]:
    """The events that hold a base, to be appended in this order with nothing between them."""
    data = msgspec.msgpack.encode(base)
    sha256 = hashlib.sha256(data).hexdigest()
    pieces = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    return [
        NewEvent(
            stream=LOG_STREAM,
            type=BASE,
            payload=msgspec.msgpack.encode(BasePart(number, len(pieces), below, sha256, piece)),
            event_id=f"{sha256[:16]}-{number}",
        )
        for number, piece in enumerate(pieces, 1)
    ]


class BaseReader:
    """Puts bases together from the events of a log, given one after another."""

    def __init__(self) -> None:
        self._parts: list[BasePart] = []
        self._last = 0

    def take(self, event: Record) -> FoundBase | None:
        """The base that this event completes, if it completes one."""
        if event.type != BASE or event.stream != LOG_STREAM:
            return None
        part = _part(event)
        if part is None or not self._continues(part, event.position):
            self._parts = []
        if part is None or part.part != len(self._parts) + 1:
            return None
        self._parts.append(part)
        self._last = event.position
        return self._whole() if part.part == part.parts else None

    def _continues(self, part: BasePart, position: int) -> bool:
        if not self._parts:
            return True
        first = self._parts[0]
        same = (part.parts, part.below, part.sha256) == (first.parts, first.below, first.sha256)
        return same and position == self._last + 1

    def _whole(self) -> FoundBase | None:
        parts, self._parts = self._parts, []
        data = b"".join(part.data for part in parts)
        if hashlib.sha256(data).hexdigest() != parts[0].sha256:
            return None
        try:
            base = msgspec.msgpack.decode(data, type=Base)
        except msgspec.DecodeError:
            return None
        return FoundBase(self._last - len(parts) + 1, self._last, parts[0].below, base)


def bases(events: Iterator[Record]) -> Iterator[FoundBase]:
    """Every base that stands at the beginning of `events`, before any event that is not the log's.

    So little is read of a segment that holds none.
    """
    reader = BaseReader()
    for event in events:
        if event.stream != LOG_STREAM:
            return
        if found := reader.take(event):
            yield found


def _part(event: Record) -> BasePart | None:
    try:
        part = msgspec.msgpack.decode(event.payload, type=BasePart)
    except msgspec.DecodeError:
        return None
    return part if 0 < part.part <= part.parts <= PARTS_MAX else None
