"""What the writers append: batches that are told by their number, so that nothing need be kept.

Batch `n` of a stream is the same in every process and every life; what a log must hold follows
from how many batches were begun and acknowledged.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import msgspec

from chronovisor_crash.findings import Finding, Outcome
from eventlog import NewEvent, Record, record
from eventlog.journal import Part, SegmentJournal, open_journal
from eventlog.record import LOG_STREAM
from eventlog.recovery import REPAIRED, Recovered
from eventlog.storage import Storage

SEGMENT_BYTES = 4096
"""The smallest there is: some batches fill it, so rollovers and seals come often."""

NOW = 1_700_000_000_000_000_000
STREAM = "s"

_EVENTS = 3
_SIZES = (0, 1, 40, 300, 700, 900)
"""Payloads within one sector, over several, and with a whole sector of one value."""

_FILLS = (b"\x00", b"\xff", b"\x81", b"x")


def batch(number: int, stream: str = STREAM) -> list[NewEvent]:
    """The events of one batch; they must be in the log together or not at all."""
    chance = random.Random(f"{stream} {number}")
    return [
        NewEvent(
            stream=stream,
            type="thing.happened.v1",
            payload=chance.choice(_FILLS) * chance.choice(_SIZES),
            event_id=f"{stream} {number}.{n}",
        )
        for n in range(chance.randint(1, _EVENTS))
    ]


def silently() -> None:
    """Acknowledge to nobody."""


class Appender:
    """One life of a writer that appends one batch after the other, in the caller's thread."""

    def __init__(self, storage: Storage) -> None:
        """Open the log, and record what recovery cut, as `open_log` does."""
        self._journal, recovered = _open(storage)
        self._position = recovered.head
        self._versions = recovered.versions
        repairs = _repairs(recovered)
        if repairs:
            self.append(repairs, silently)

    def append(self, events: Sequence[NewEvent], acknowledge: Callable[[], None]) -> None:
        """Make one frame of the events, and acknowledge it as soon as it is durable."""
        self._journal.commit([self._part(events)])
        acknowledge()
        self._journal.prepare()

    def close(self) -> None:
        self._journal.close()

    def _part(self, events: Sequence[NewEvent]) -> Part:
        first = self._position + 1
        raw = bytearray()
        for event in events:
            self._position += 1
            version = self._versions.get(event.stream, 0) + 1
            self._versions[event.stream] = version
            raw += record.place(event, self._position, version, NOW, self._journal.epoch)[1]
        return Part(first, len(events), NOW, bytes(raw))


def _open(storage: Storage) -> tuple[SegmentJournal, Recovered]:
    return open_journal(storage, "crash-test", SEGMENT_BYTES, lambda: NOW)


def _repairs(recovered: Recovered) -> list[NewEvent]:
    return [
        NewEvent(LOG_STREAM, REPAIRED, msgspec.msgpack.encode(repair), repair.kept_as)
        for repair in recovered.unlogged
    ]


def whole_batches(records: Sequence[Record], stream: str = STREAM) -> int | None:
    """How many batches of a stream are there; None unless they are the first ones, whole."""
    found = [event for event in records if event.stream == stream]
    number = at = 0
    while at < len(found):
        expected = batch(number, stream)
        held = found[at : at + len(expected)]
        if [(e.event_id, e.type, e.payload) for e in held] != [
            (e.event_id, e.type, e.payload) for e in expected
        ]:
            return None
        number, at = number + 1, at + len(expected)
    return number


def judge(
    records: Sequence[Record], acknowledged: Mapping[str, int], begun: Mapping[str, int]
) -> Finding:
    """Hold a log against the batches that each stream's writer began and saw acknowledged."""
    outcome = Outcome.INTACT
    strangers = {event.stream for event in records} - set(begun) - {LOG_STREAM}
    if strangers:
        return Finding(Outcome.ALTERED, f"unknown streams {sorted(strangers)}")
    for stream, most in begun.items():
        held, least = whole_batches(records, stream), acknowledged.get(stream, 0)
        if held is None or held > most:
            return Finding(
                Outcome.ALTERED, f"stream {stream} holds other events than were appended"
            )
        if held < least:
            return Finding(Outcome.LOST, f"stream {stream}: {held} of {least} batches are left")
        if held > least:
            outcome = Outcome.WITH_IN_FLIGHT
    return Finding(outcome)
