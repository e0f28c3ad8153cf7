"""Events and small logs for the tests."""

from collections.abc import Iterable

from eventlog import NewEvent, Record
from eventlog import record as events
from eventlog.journal import Part, SegmentJournal, open_journal
from eventlog.storage import Storage

SEGMENT_BYTES = 4096
NOW = 1_700_000_000_000_000_000


def event(name: str, stream: str = "s", payload: bytes = b"\x80") -> NewEvent:
    return NewEvent(stream=stream, type="thing.happened.v1", payload=payload, event_id=name)


def open_small(storage: Storage) -> SegmentJournal:
    return open_journal(storage, "node", SEGMENT_BYTES, lambda: NOW)[0]


def write_life(storage: Storage, batches: Iterable[list[bytes]]) -> list[Record]:
    """One life of a writer: each batch of payloads is one frame. Returns what it appended."""
    journal, recovered = open_journal(storage, "node", SEGMENT_BYTES, lambda: NOW)
    position, version = recovered.head, recovered.versions.get("s", 0)
    written: list[Record] = []
    for batch in batches:
        placed = [
            events.place(
                event(f"e{position + n}", payload=payload),
                position + n,
                version + n,
                NOW,
                journal.epoch,
            )
            for n, payload in enumerate(batch, 1)
        ]
        raw = b"".join(encoded for _, encoded in placed)
        journal.commit([Part(position + 1, len(batch), NOW, raw)])
        journal.prepare()
        written.extend(one for one, _ in placed)
        position, version = position + len(batch), version + len(batch)
    journal.close()
    return written
